# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that was saved against one that boots: the time until each answers at its console.

Both are the same Guest, and the clock is the Launcher's: from the start of ``with Machine(…)`` until the console shows
the answer to a line that was typed.  Boots and restores take turns, so that both see the same machine.

Read next: lguest_py/machine.py; lguest_py/saved/format.py, the file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from lguest_py.bench.linux import temporary_directory
from lguest_py.machine import Machine
from lguest_py.measurements.row import MILLISECONDS, Row

TINY_BOOT: Final = "tiny-boot"
TINY_RESTORE: Final = "tiny-restore"
LINUX_BOOT: Final = "linux-boot"
LINUX_RESTORE: Final = "linux-restore"
SAVED: Final[Mapping[str, str]] = MappingProxyType({
    TINY_BOOT: "the tiny Guest boots and answers",
    TINY_RESTORE: "the tiny Guest, with 64 MiB, is restored and answers",
    LINUX_BOOT: "a distribution's kernel boots to its shell and answers",
    LINUX_RESTORE: "the same is restored and answers",
})  # fmt: skip
BOOTS: Final = 3  # in a run
RESTORES: Final = 10  # after each boot
SECONDS: Final = 900.0  # limit of one
ASK: Final = "echo answer"  # both the tiny Guest and a shell know it
ANSWER: Final = "\nanswer"


@dataclass(frozen=True)
class _Guest:
    """One that is measured: the names of its two rows, its prompt, and the arguments of Machine."""

    boot: str
    restore: str
    prompt: str
    arguments: Mapping[str, Any]

    def rows(self, names: Sequence[str], engine: str, switcher: str, folder: Path) -> list[Row]:
        """Rows for those of ``names`` that are its own."""
        samples = {name: Counter[int]() for name in (self.boot, self.restore) if name in names}
        named = cast(Literal["kvm", "tcg"], engine)
        for number in range(BOOTS if samples else 0):
            file = folder / f"{self.boot}-{number}.saved"
            with _Stopwatch(Machine(**self.arguments, engine=named, timeout=SECONDS), samples.get(self.boot)) as booted:
                booted.console.expect(self.prompt, SECONDS)
                _ask(booted)
                booted.stop()
                booted.console.expect(self.prompt, SECONDS)
                booted.machine.save(file)
            for _ in range(RESTORES if self.restore in samples else 0):
                restored = Machine(saved=file, engine=named, timeout=SECONDS)
                with _Stopwatch(restored, samples[self.restore]) as copy:
                    _ask(copy)
                    copy.stop()
            file.unlink()
        return [Row(name, "saved", "guest", switcher, MILLISECONDS, each) for name, each in samples.items()]


class _Stopwatch:
    """A Machine in a ``with``; the milliseconds from its start until ``stop`` are a sample."""

    def __init__(self, machine: Machine, samples: Counter[int] | None) -> None:
        self.machine, self._samples = machine, samples

    def __enter__(self) -> _Stopwatch:
        self._start = time.monotonic()
        self.machine.__enter__()
        self.console = self.machine.console
        return self

    def stop(self) -> None:
        if self._samples is not None:
            self._samples[round((time.monotonic() - self._start) * 1000)] += 1

    def __exit__(self, *error: Any) -> None:
        self.machine.__exit__(*error)


def _ask(guest: _Stopwatch) -> None:
    guest.console.sendline(ASK)
    guest.console.expect(ANSWER, SECONDS)


def saved_rows(
    linux: tuple[Path, Path | None] | None, engine: str, switcher: str, names: Sequence[str]
) -> list[Row]:
    """Measure ``names`` (of SAVED); ``linux`` is a kernel and its initrd, for those that need one.

    Raises LguestError.
    """
    guests = [_Guest(TINY_BOOT, TINY_RESTORE, "lguest> ", {"memory": "64M", "switcher": switcher})]
    if linux:
        arguments = {"image": linux[0], "initrd": linux[1], "command_line": "quiet", "switcher": switcher}
        guests.append(_Guest(LINUX_BOOT, LINUX_RESTORE, " # ", arguments))
    with temporary_directory() as name:
        return [row for guest in guests for row in guest.rows(names, engine, switcher, Path(name))]
