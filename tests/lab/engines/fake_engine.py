# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine without a CPU: a Python generator plays the Host kernel and the Guest together.

It runs inside ``poll``, as far as its next ``yield``: ``yield WAIT`` waits for an interrupt from the Launcher,
``yield AGAIN`` comes back by itself, and its return writes the exit port.  So every run is the same run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from ring_lab import Arena, Driver, modern_ring

from lguest_py import engines
from lguest_py.engines import Choice
from lguest_py.engines.base import MachineEnd, MachineFacts
from lguest_py.images import Image, Segment
from lguest_py.launcher import vm_memory
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

AGAIN, WAIT = "again", "wait"
Script = Callable[["FakeEngine"], Generator[str, None, None]]
FACTS = MachineFacts(0xE9, 4, 0, 0xE9, 0xF4, 1_000_000)


class FakeEngine:
    """See the module; ``engine.machine`` and ``engine.mailbox`` are the shared structs."""

    name = "fake"
    description = "nothing runs"
    facts = FACTS

    def __init__(self, memory_bytes: int, script: Script) -> None:
        self.memory = memoryview(bytearray(memory_bytes))
        self.closed = False
        self.stopped = False
        self.interrupts = 0
        self.started: tuple[int, int] | None = None
        self.broken: str | None = None  # set by a script that then returns: the machine failed so
        self._script = script
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._steps: Iterator[str] | None = None
        self._end: MachineEnd | None = None

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        self.started = entry, ebx
        self.machine = View(self.memory, L.MACHINE_ADDRESS, L.MACHINE)
        self.mailbox = View(self.memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        self.guest = self.memory[self.machine["guest_base"] :]
        self._steps = self._script(self)
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def fileno(self) -> int:
        return self._read

    def poll(self) -> MachineEnd | None:
        woken = False
        with suppress(BlockingIOError):
            woken = bool(os.read(self._read, 64))
        if woken and not self._end and self._steps:
            try:
                if next(self._steps) == AGAIN:
                    self._wake()
            except StopIteration:
                self._end = MachineEnd(self.broken is None, self.broken or "")
        if self._end:
            self._wake()
        return self._end

    def interrupt(self) -> None:
        self.interrupts += 1
        self._wake()

    def stop(self) -> None:
        self.stopped = True
        self._steps = None

    def debug_text(self) -> str:
        return "debug\n"

    def touched(self) -> tuple[tuple[int, int], ...]:
        return ((0, len(self.memory)),)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._read)
            os.close(self._write)

    # What the Host kernel does.

    def early_text(self, text: bytes) -> None:
        head = self.mailbox["text_head"]
        for n, byte in enumerate(text):
            self.mailbox.bytes("text")[(head + n) % L.TEXT_BYTES] = byte
        self.mailbox["text_head"] = (head + len(text)) & 0xFFFFFFFF
        self.mailbox["doorbell"] = 1

    def notify(self, address: int) -> None:
        head = self.mailbox["notify_head"]
        self.mailbox["notify", head % L.NOTIFY_RECORDS] = address
        self.mailbox["notify_head"] = (head + 1) & 0xFFFFFFFF
        self.mailbox["doorbell"] = 1

    def access(self, slot: int, offset: int, size: int, value: int | None = None) -> Generator[str, None, int]:
        """An access to BAR 0 of a PCI function, for which the Guest waits: ``yield from`` it."""
        head = self.mailbox["register_head"]
        self.mailbox["register_slot"], self.mailbox["register_offset"] = slot, offset
        self.mailbox["register_size"] = size
        self.mailbox["register_write"], self.mailbox["register_value"] = int(value is not None), value or 0
        self.mailbox["register_head"] = (head + 1) & 0xFFFFFFFF
        self.mailbox["doorbell"] = 1
        self._wake()
        while self.mailbox["register_tail"] != (head + 1) & 0xFFFFFFFF:
            yield WAIT
        return self.mailbox["register_answer"]

    def end(self, kind: int, reason: bytes = b"") -> None:
        self.mailbox["end_kind"] = kind
        self.mailbox.bytes("end_reason")[: len(reason)] = reason


class ConsoleDriver:
    """Finds the only device, the console, as a kernel does, and has its two queues."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.base = engine.machine["guest_bytes"]
        page = engine.guest[self.base : self.base + 4096]
        assert page[0] == 3, "the first device is not a console"
        assert page[1] == 2
        words = memoryview(bytes(page[5:21])).cast("H")
        self.irqs = words[1], words[5]
        self.receive, self.transmit = (Driver(engine.guest, (words[n] | words[n + 1] << 16) * 4096) for n in (2, 6))

    def accept(self, status: int = 3) -> None:
        self.engine.guest[self.base + 4] = status
        self.engine.notify(self.base)

    def write(self, data: bytes, head: int = 0, address: int = 0x5000) -> None:
        self.transmit.send(head, address, data)
        self.engine.notify(self.transmit.address)


class PciConsole:
    """The driver of the console in slot 1, by the registers of virtio 1.x."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine

    def write(self, offset: int, size: int, value: int) -> Generator[str, None, None]:
        yield from self.engine.access(1, L.BAR_COMMON + offset, size, value)

    def start(self) -> Generator[str, None, None]:
        yield from self.write(20, 1, 0)
        yield from self.write(20, 1, 3)
        yield from self.write(8, 4, 1)
        yield from self.write(12, 4, 1)  # VERSION_1
        yield from self.write(20, 1, 11)
        status = yield from self.engine.access(1, L.BAR_COMMON + 20, 1)
        assert status == 11
        self.drivers = []
        for number in range(2):
            ring = modern_ring(0x100000 + number * 0x10000, 16)
            yield from self.write(22, 2, number)
            yield from self.write(24, 2, 16)
            for offset, address in ((32, ring.descriptors), (40, ring.available), (48, ring.used)):
                yield from self.write(offset, 4, address)
            yield from self.write(28, 2, 1)
            self.engine.guest[ring.used : ring.end] = bytes(ring.end - ring.used)
            arena = Arena(0x200000 + number * 0x10000, 0x210000 + number * 0x10000)
            self.drivers.append(Driver(self.engine.guest, ring, 0, arena))
        yield from self.write(20, 1, 15)

    def notify(self, queue: int) -> None:
        self.engine.notify(L.NOTIFY_PCI | 1 << 16 | queue)


IMAGE = Image("fake.elf", "ELF", 0x2000, (Segment(0x2000, b"\xf4", 1),), b"", None, 1)
LATER = replace(IMAGE, version="4.10.0", generation=2)  # its devices are on PCI


@pytest.fixture
def fake_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the built images."""
    (tmp_path / "host_kernel.bin").write_bytes(b"HOSTKERNEL")
    (tmp_path / "host_kernel_pae.bin").write_bytes(b"HOSTKERNEL for PAE")
    (tmp_path / "guest.elf").write_bytes(b"not an ELF")
    monkeypatch.setattr(vm_memory, "IMAGES", tmp_path)
    return tmp_path


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch, fake_images: Path) -> Iterator[list[FakeEngine]]:
    """The machines that were made; none of them may start, and all are given back."""
    made: list[FakeEngine] = []

    def make(memory_bytes: int) -> FakeEngine:
        made.append(FakeEngine(memory_bytes, None))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(engines, "choose", lambda name: Choice(make, "fake", "a test asked for it"))
    yield made
    assert all(machine.closed and not machine.started for machine in made)
