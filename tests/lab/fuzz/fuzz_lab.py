# SPDX-License-Identifier: GPL-2.0-or-later
"""Run random Guests that live long: one machine is given slots again and again, and is looked at in between.

While the Guest waits, all that the Host kernel must keep is checked: its image and tables (hostile_lab.py), the books
of all shadow tables (shadow_model.py), and what the current one allows (shadow_walk.py).
Read before: fuzz_code.py.  Read next: shrink.py; tests/host_kernel/test_fuzz.py.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from unittest.mock import patch

from fuzz_code import DIRECTORIES, SLOTS, TARGETS, Batch, Variant, batch, entropy, memory
from hostile_code import EAX, PLACES, RAM_END, SLOTS_BYTES, Patient, mov
from hostile_code import LOOK as LOOK_AT
from hostile_lab import START, Run, Watched, image_of, offences, stand, symbols, word
from monitored import MonitoredTcg
from shadow_model import Shadow, untruths
from shadow_walk import too_much, writable_though_protected

from lguest_py import Disk, Entropy, engines
from lguest_py.console.streams import Input, Output
from lguest_py.devices.virtqueue import Chain, Virtqueue
from lguest_py.engines.base import Engine
from lguest_py.hardware.together import complete
from lguest_py.images import Image, Segment
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Plan, Switcher
from lguest_py.shared_memory import _layouts as L

LOOK = 512  # steps
STUCK = 2.0  # seconds without a new slot: the Guest is given up, if the Host kernel still answers
CIRCLES = 20  # times as long without a look: it jumps back and forth
LOOKS = 24  # looks at one batch: it jumps back and forth
AGAIN = 20  # flushes of a Guest whose devices may write meanwhile
HANGS = 60.0  # seconds in which the Host kernel must answer
BUDGET = 0x7FFFFFFF
FOREVER = 1e6
NUMBER = re.compile(r"0x[0-9a-f]+|\b\d+\b")
Hook = Callable[["Fed"], None]


class Feed:
    """What the machines of one run are given, and what came of it."""

    def __init__(self, batches: Iterator[Batch], hook: Hook | None = None) -> None:
        self.batches = batches
        self.hook = hook
        self.given: list[Batch] = []
        self.steps = self.looks = self.switches = 0
        self.writes = self.again = 0  # of devices into page tables; flushes behind which one came
        self.directories = self.tables = 0  # the most that were seen
        self.stuck = False
        self.found: list[str] = []
        self.ends = os.pipe()

    def fileno(self) -> int:
        """As the Launcher asks of signals."""
        return self.ends[0]

    def take(self) -> int:
        """The number of the signal that ends the run; 0: none."""
        return signal.SIGTERM if self.stuck or self.found else 0

    def end(self) -> None:
        """Have the Launcher end the run."""
        os.write(self.ends[1], b"!")

    def close(self) -> None:
        for each in self.ends:
            os.close(each)


class Fed(Watched):
    """An engine whose Guest is given batches by a thread."""

    patience = STUCK
    feed: Feed
    bare: Engine  # without what looks at it

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        super().start(entry, ebx, tsc)
        self._ending = threading.Event()
        self._counted = self._looked = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        if not self.closed and hasattr(self, "_thread"):
            self._ending.set()
            self._thread.join()
            self._count()
            self.feed.switches += self._switches()
        super().close()

    def _word(self, name: str) -> int:
        return word(self.memory, self.guest.start + PLACES[name])

    def _count(self) -> None:
        """The steps since the last look; a loop of jumps is not many."""
        now = self._word("STEPS")
        self.feed.steps += min(now - self._counted & 0xFFFFFFFF, 2 * LOOK)
        self._counted = now

    def _switches(self) -> int:
        return word(self.memory, L.MAILBOX_ADDRESS + L.MAILBOX.fields["switches"][0])

    def _serve(self) -> None:
        try:
            self._serve_it()
        except Exception as error:  # else the Guest would wait for ever
            self.feed.found.append(f"the test itself: {error!r}")
            self.feed.end()

    def _serve_it(self) -> None:
        reached, since = 0, time.monotonic()
        looked = since
        while not self._ending.wait(0.001):
            waits = self._word("WAITING")
            if waits in (PLACES["WAIT_LOOK"], PLACES["WAIT_REFILL"]):
                self._answer(waits)
                looked = since = time.monotonic()
                if self._looked > LOOKS:
                    self._give_up()
                    return
            elif time.monotonic() - looked > CIRCLES * self.patience:
                self._give_up()
                return
            elif (now := self._word("PROGRESS")) != reached:
                reached, since = now, time.monotonic()
            elif time.monotonic() - since > self.patience:
                self._give_up()
                return
            if self.feed.found:
                self.feed.end()
                return

    def _answer(self, waits: int) -> None:
        """The Guest stands still: look, and give it more."""
        self._count()
        self._looked = 0 if waits == PLACES["WAIT_REFILL"] else self._looked + 1
        if self.feed.hook:
            self.feed.hook(self)
        wrong = self._wrong()
        for _ in range(AGAIN):
            if wrong:
                time.sleep(0.1)
                wrong = [each for each in self._wrong() if each in wrong]
            if not wrong or not self._devices_wrote() or not self._flushed_again(waits):
                break
            wrong = self._wrong()
        self.feed.found += wrong
        answer = 0
        if waits == PLACES["WAIT_REFILL"]:
            following = next(self.feed.batches, None)
            answer = 0 if following else PLACES["WAIT_FINISH"]
            if following:
                self.feed.given.append(following)
                data = following.data()
                there = self.guest.start + PLACES["BUFFER"]
                self.memory[there : there + len(data)] = data
                budget = self.guest.start + PLACES["BUDGET"]
                self.memory[budget : budget + 4] = BUDGET.to_bytes(4, "little")
        at = self.guest.start + PLACES["WAITING"]
        self.memory[at : at + 4] = answer.to_bytes(4, "little")

    def _devices_wrote(self) -> bool:
        """Whether they may have written since the Host kernel looked: then the flush may have come too early."""
        start = word(self.memory, L.MACHINE_ADDRESS + L.MACHINE.fields["device_writes"][0])
        return any(self.memory[start : start + RAM_END // 4096])

    def _flushed_again(self, waits: int) -> bool:
        """Let the Guest flush once more; False: it does not come back."""
        self.feed.again += 1
        at = self.guest.start + PLACES["WAITING"]
        self.memory[at : at + 4] = PLACES["WAIT_AGAIN"].to_bytes(4, "little")
        until = time.monotonic() + HANGS
        while self._word("WAITING") != waits and time.monotonic() < until and not self._ending.wait(0.001):
            pass
        return self._word("WAITING") == waits

    def _wrong(self) -> list[str]:
        if not word(self.memory, symbols(self.pae)["state_page"] + L.LGUEST_STATE.fields["guest_cr3"][0]):
            return []
        self.feed.looks += 1
        shadow = Shadow.read(self.memory, self.pae)
        tables = len(shadow.pages) - len(shadow.free) - len(shadow.directories)
        self.feed.directories = max(self.feed.directories, len(shadow.directories))
        self.feed.tables = max(self.feed.tables, tables)
        return [
            *offences(self.memory, self.guest, self.machine, self.pae),
            *untruths(self.memory, self.guest, self.pae),
            *writable_though_protected(self.memory, shadow, self.guest, self.pae),
            *too_much(self.memory, shadow, self.guest, self.pae),
        ]

    def _give_up(self) -> None:
        """It loops with interrupts masked, or sleeps: then the CPU is in its rings, or waits.  Else the Host hangs."""
        before, until = self._switches(), time.monotonic() + HANGS
        while self._switches() == before and not self._ending.wait(0.05):
            self.interrupt()
            try:
                if isinstance(self.bare, MonitoredTcg) and self.bare.answers():
                    break
            except OSError:
                break  # it ended meanwhile
            if time.monotonic() > until:
                self.feed.found += ["the Host kernel does not answer"] * isinstance(self.bare, MonitoredTcg)
                break
        self.feed.stuck = True
        self.feed.end()


def guest(variant: Variant, seed: int) -> Image:
    """One that asks for its first batch at once."""
    personality, pae = ("lguest" if variant == "lguest" else "native"), variant == "pae"
    first = struct.pack("<IIII", BUDGET, PLACES["SLOTS"] + SLOTS_BYTES, 7, 0)
    ask = mov(EAX, LOOK_AT) + b"\xff\xe0"
    more = {**memory(variant), PLACES["BUDGET"]: first, PLACES["SLOTS"]: ask}
    made = image_of("lguest" if personality == "lguest" else "native", b"", more=more, pae=pae, seed=seed, sane=False)
    replaced = stand(made.personality, pae, True)
    segments = tuple(
        Segment(each.address, replaced, len(replaced)) if each.address == START else each for each in made.segments
    )
    return Image("fuzz", "ELF", START, segments, b"", None, 1, personality=made.personality, pae=pae)


@dataclass
class Life:
    """One machine: how it ended, and what it was given."""

    run: Run
    feed: Feed

    @property
    def failures(self) -> list[str]:
        """What no Guest may bring about."""
        return [*self.feed.found, *self.run.failures]

    @property
    def death(self) -> str:
        """Why it ended, without numbers."""
        outcome = self.run.result.outcome
        if self.feed.stuck:
            return "stuck"
        return NUMBER.sub("N", outcome.reason) if outcome.end is End.KILLED else outcome.end.value


def live(
    engine_name: str,
    variant: Variant,
    seed: int,
    batches: Iterator[Batch],
    switcher: Switcher = "lean",
    hook: Hook | None = None,
    kind: type[Fed] | None = None,
) -> Life:
    """Boot a Guest, and give it batches until there is none or it is dead."""
    feed = Feed(batches, hook)
    image = guest(variant, seed)
    plan = Plan(RAM_END)
    devices = plan.device_bytes if image.personality == "lguest" else 0
    choice = engines.choose(engine_name)
    made: list[Fed] = []

    def make(memory_bytes: int) -> Fed:
        engine: Engine = MonitoredTcg(memory_bytes) if engine_name == "tcg" else choice.make(memory_bytes)
        made.append((kind or Fed)(engine, range(plan.guest_base, plan.guest_base + RAM_END + devices)))
        made[-1].feed, made[-1].bare = feed, engine
        made[-1].pae = image.pae is not (len(made) > 1)
        return made[-1]

    mark = Virtqueue._mark

    def counted(queue: Virtqueue, chain: Chain) -> None:
        feed.writes += any(DIRECTORIES <= start < TARGETS for start, _ in chain.places)
        mark(queue, chain)

    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        with (
            closing(feed),
            tempfile.TemporaryDirectory() as folder,
            tempfile.TemporaryFile() as keys,
            closing(Output(sink)) as output,
        ):
            disk = Path(folder, "disk")
            disk.write_bytes(bytes(1 << 16))
            random_bytes = Path(folder, "entropy")
            random_bytes.write_bytes(entropy(Random(seed), image.pae, 1 << 18))
            keys.write(Random(seed).randbytes(3000))
            keys.seek(0)
            hardware = complete([Entropy(str(random_bytes)), *([Disk(str(disk), overlay=True)] if not devices else [])])
            settings = Settings(image, RAM_END, restart=False, timeout=FOREVER, switcher=switcher, devices=hardware)
            with patch.object(Virtqueue, "_mark", counted):
                result = Launcher(settings, make, Input(keys.fileno()), output, signals=feed).run()
            output.finish(60)
    finally:
        os.close(sink)
    return Life(Run(result, made[-1].wrong), feed)


@dataclass
class Count:
    """What came of many lives."""

    steps: int = 0
    switches: int = 0
    looks: int = 0
    tables: int = 0
    writes: int = 0
    again: int = 0
    lives: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, life: Life) -> None:
        feed = life.feed
        self.steps, self.switches = self.steps + feed.steps, self.switches + feed.switches
        self.looks, self.lives = self.looks + feed.looks, self.lives + 1
        self.tables = max(self.tables, feed.tables)
        self.writes, self.again = self.writes + feed.writes, self.again + feed.again
        self.deaths[life.death] += 1
        self.failures += life.failures

    def text(self, name: str) -> str:
        """For the log."""
        head = (
            f"{name}: {self.steps} steps, {self.switches} world switches, {self.lives} Guests, {self.looks} looks at"
            f" up to {self.tables} tables, {self.writes} writes of devices into tables ({self.again} flushes again),"
            f" Host faults {len(self.failures)}; ends:"
        )
        return "\n".join([head, *(f"  {count:5} {why}" for why, count in self.deaths.most_common())])


def batches(variant: Variant, seed: int, look: int = LOOK) -> Iterator[Batch]:
    """Without end."""
    r = Patient(f"fuzz {variant} {seed}")
    while True:
        yield batch(r, variant, look)


def fuzz(engine_name: str, variant: Variant, seed: int, steps: int) -> tuple[Count, list[Batch], Switcher]:
    """Guest after Guest until so many steps were made; what one that did harm was given, and on what it ran."""
    count, source = Count(), batches(variant, seed)
    while True:
        switcher: Switcher = "classic" if count.lives % 2 else "lean"
        left = -(-(steps - count.steps) // (SLOTS - 1))
        life = live(engine_name, variant, seed, islice(source, left), switcher)
        count.add(life)
        if life.failures:
            return count, life.feed.given, switcher
        if count.steps >= steps:
            return count, [], switcher
