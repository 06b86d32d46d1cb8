# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request to a running Guest does: stat, pause, resume, stop, dump, save, resize.

Read next: client.py; lguest_py/launcher/vm.py, ``pause``.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lguest_py.control.detached import DetachedConsole
from lguest_py.control.wire import Message
from lguest_py.errors import LguestError
from lguest_py.launcher.result import SIGTERM, End, Outcome
from lguest_py.launcher.vm import Vm
from lguest_py.saved.computer import this_boot
from lguest_py.shared_memory.mailbox import hypercall_name, vector_name

if TYPE_CHECKING:
    from lguest_py.launcher.launcher import Settings

STOPPED, SAVED = "lguest-py stop", "lguest-py save --stop"


class Commands:
    """``facts`` are those of the whole run, to which stat adds what changes."""

    def __init__(self, facts: Mapping[str, Any], settings: Settings, console: DetachedConsole | None) -> None:
        self._facts, self._settings, self._console = dict(facts), settings, console
        self._since = time.monotonic()
        self._computer = this_boot()
        self._known: dict[str, Callable[[Message, Sequence[int], Vm], Message]] = {
            "stat": self._stat,
            "pause": self._pause,
            "resume": self._resume,
            "dump": self._dump,
            "save": self._save,
            "resize": self._resize,
        }

    def do(self, request: Message, files: Sequence[int], vm: Vm) -> tuple[Message, Outcome | None]:
        """The answer, and how the run is to end if it is.  Raises LguestError for a request that cannot be done."""
        name = request.get("do")
        if name == "stop":
            return {}, Outcome(End.LEFT, STOPPED, SIGTERM)
        work = self._known.get(name) if isinstance(name, str) else None
        if not work:
            known = sorted([*self._known, "attach", "gdb", "stop", "trace"])
            raise LguestError(f'unknown request: "do" is one of {", ".join(known)}')
        answer = work(request, files, vm)
        ends = name == "save" and request.get("stop") is True
        return answer, Outcome(End.LEFT, SAVED) if ends else None

    def _stat(self, request: Message, files: Sequence[int], vm: Vm) -> Message:
        now, processor = vm.look(), os.times()
        return {
            **self._facts,
            "messages": list(self._facts["messages"]),
            "state": "paused" if vm.paused else "running",
            "attached": bool(self._console and self._console.attached),
            "tracers": vm.tracing.readers,
            "seconds": round(time.monotonic() - self._since, 3),
            "launcher_seconds": round(processor.user + processor.system, 3),
            "switches": now.switches,
            "by_cause": {vector_name(vector): count for vector, count in sorted(now.by_vector.items())},
            "hypercalls": {hypercall_name(number): count for number, count in sorted(now.by_hypercall.items())},
            "interrupts_delivered": now.interrupts_delivered,
            "page_faults": {"filled": now.faults_filled, "reflected": now.faults_reflected},
        }

    def _pause(self, request: Message, files: Sequence[int], vm: Vm) -> Message:
        vm.pause()
        return {}

    def _resume(self, request: Message, files: Sequence[int], vm: Vm) -> Message:
        vm.resume()
        return {}

    def _resize(self, request: Message, files: Sequence[int], vm: Vm) -> Message:
        if not self._console:
            raise LguestError("its console has a terminal of its own")
        self._console.resize(request)
        return {}

    def _dump(self, request: Message, files: Sequence[int], vm: Vm) -> Message:
        from lguest_py.postmortem.core import write_core

        return self._written(files, vm, lambda: write_core(files[0], vm.remains(vm.look())))

    def _save(self, request: Message, files: Sequence[int], vm: Vm) -> Message:
        from lguest_py.launcher.saving import save

        compress, ends = (request.get(name) is True for name in ("compress", "stop"))
        given = vm, self._settings, self._computer
        return self._written(files, vm, lambda: save(files[0], *given, compress=compress, ends=ends))

    def _written(self, files: Sequence[int], vm: Vm, write: Callable[[], object]) -> Message:
        """Let ``write`` write into the file that came along; the Guest stands still meanwhile."""
        if not files or not stat.S_ISREG(os.fstat(files[0]).st_mode):
            raise LguestError("this needs a regular file, open for writing, with the request")
        was_paused = vm.paused
        vm.pause()
        try:
            write()
        except OSError as error:
            raise LguestError(f"the file cannot be written ({error.strerror}): give one where there is room") from None
        finally:
            if not was_paused:
                vm.resume()
        return {"bytes": os.fstat(files[0]).st_size}
