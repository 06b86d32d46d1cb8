# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest on a PCI bus, and the least that a Launcher does for it: for tests of host_kernel/pci.

The functions are bytes written by hand, the Guest is machine code made step by step, and what the Launcher answers is a
test's own function.  Source: PCI Local Bus 3.0, 3.2.2.3.2.  Read next: tests/host_kernel/test_pci_functions.py.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hostile_code import DIRECTORY, EAX, EBX, EDX, RAM_END, le32, mov, store
from hostile_lab import LONG, image_of, offences

from lguest_py import engines
from lguest_py.engines.base import MachineEnd
from lguest_py.images import Image
from lguest_py.images.image import Personality
from lguest_py.launcher.vm_memory import Plan, Switcher, fill
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View
from lguest_py.shared_memory.mailbox import Mailbox, Snapshot, barrier

WINDOW_BASE, WINDOW_BYTES = 0x10000000, 0x100000  # for BARs
SLOT = 3
BAR = WINDOW_BASE + 0x8000  # where the Launcher puts it
IRQ = 5
WINDOW, EMERGENCY = 0x70, L.BAR_DEVICE + 8
RESULTS = 0x320000
MMIO = 0x3A0000  # four pages that a program maps to a BAR, or elsewhere
VENDOR, COMMAND, BAR_REGISTER, CAPABILITY = 0, 4, 0x10, 0x34
MEMORY, NO_INTERRUPTS = 2, 0x400
ADDRESS_PORT, DATA_PORT = 0xCF8, 0xCFC
ENABLE = 0x80000000
IN, OUT = {1: b"\xec", 2: b"\x66\xed", 4: b"\xed"}, {1: b"\xee", 2: b"\x66\xef", 4: b"\xef"}
LOAD, STORE = {1: b"\xa0", 2: b"\x66\xa1", 4: b"\xa1"}, {1: b"\xa2", 2: b"\x66\xa3", 4: b"\xa3"}


@dataclass
class Function:
    """One function: 64 KiB of BAR that a test may move, and a window."""

    slot: int = SLOT
    bar: int = BAR
    irq: int = IRQ
    command: int = MEMORY
    msix: int = 0
    config: dict[int, bytes] = field(default_factory=dict)

    def write(self, memory: memoryview) -> None:
        """Put it where the Host kernel looks for it."""
        config, writable = bytearray(256), bytearray(256)
        struct.pack_into("<HHH", config, 0, 0x1AF4, 0x1043, self.command)
        struct.pack_into("<H", writable, COMMAND, MEMORY | 4 | NO_INTERRUPTS)
        struct.pack_into("<I", config, BAR_REGISTER, self.bar)
        struct.pack_into("<I", writable, BAR_REGISTER, 0xFFFFFFFF & ~(L.BAR_BYTES - 1))
        struct.pack_into("<BBBBB", config, WINDOW, 9, 0, 20, 5, 0)
        writable[WINDOW + 4 : WINDOW + 20] = b"\xff" + bytes(3) + b"\xff" * 12
        writable[0x3C] = 0xFF
        if self.msix:
            struct.pack_into("<BBHII", config, self.msix, 0x11, 0, 1, L.BAR_MSIX_TABLE, L.BAR_MSIX_PENDING)
            struct.pack_into("<H", writable, self.msix + 2, 0xC000)
        for at, data in self.config.items():
            config[at : at + len(data)] = data
        start = L.PCI_ADDRESS + self.slot * L.PCI_FUNCTION.size
        memory[start : start + 512] = bytes(config) + bytes(writable)
        view = View(memory, start, L.PCI_FUNCTION)
        view["irq"], view["window"], view["emergency"], view["msix"] = self.irq, WINDOW, EMERGENCY, self.msix


@dataclass(frozen=True)
class Request:
    """An access to a register that the Launcher answers; ``value`` is None for a read."""

    slot: int
    offset: int
    size: int
    value: int | None


class Program:
    """A Guest's code for ring 1, made step by step; ``keep`` gives results that the test reads at the end."""

    def __init__(self, personality: Personality = "native") -> None:
        self.personality: Personality = personality
        self.code = b""
        self.kept = 0

    def raw(self, *parts: bytes) -> None:
        """Any instructions."""
        self.code += b"".join(parts)

    def keep(self) -> None:
        """Keep eax."""
        self.raw(b"\xa3" + le32(RESULTS + 4 * self.kept))
        self.kept += 1

    def address(self, slot: int, register: int, extra: int = 0) -> None:
        """Write the address register."""
        self.raw(mov(EAX, ENABLE | extra | slot << 11 | register & ~3), mov(EDX, ADDRESS_PORT), OUT[4])

    def config(self, slot: int, register: int, size: int = 4, extra: int = 0) -> None:
        """Read configuration space and keep it; what is above ``size`` is zero."""
        self.address(slot, register, extra)
        self.raw(mov(EAX, 0), mov(EDX, DATA_PORT + register % 4), IN[size])
        self.keep()

    def configure(self, slot: int, register: int, value: int, size: int = 4) -> None:
        """Write configuration space."""
        self.address(slot, register)
        self.raw(mov(EAX, value), mov(EDX, DATA_PORT + register % 4), OUT[size])

    def flush(self, page: int) -> None:
        """The page's entry has changed."""
        if self.personality == "native":
            self.raw(b"\x0f\x01\x3d" + le32(page))
        else:
            self.raw(mov(EAX, L.LHCALL_FLUSH_TLB), mov(EBX, 1), b"\xcd\x1f")

    def map(self, physical: int = BAR, page: int = MMIO, count: int = 4, flags: int = 0x67) -> None:
        """Map pages, from ``page`` on, to Guest-physical ones."""
        for number in range(count):
            there = page + 0x1000 * number
            self.raw(store(DIRECTORY + 0x1000 + 4 * (there >> 12), physical + 0x1000 * number | flags))
            self.flush(there)

    def load(self, offset: int, size: int = 4) -> None:
        """Read from the BAR and keep it; what is above ``size`` is zero."""
        self.raw(mov(EAX, 0), LOAD[size], le32(MMIO + offset))
        self.keep()

    def store(self, offset: int, value: int, size: int = 4) -> None:
        """Write to the BAR."""
        self.raw(mov(EAX, value), STORE[size], le32(MMIO + offset))


Answer = Callable[[Request], int]


def nothing(request: Request) -> int:
    """Every register is zero."""
    return 0


@dataclass
class Done:
    """How a machine ended, and all that came from its Guest."""

    end: MachineEnd
    snapshot: Snapshot
    results: list[int]
    requests: list[Request]
    notified: list[int]
    text: bytes
    wrong: list[str]
    memory: bytes = b""  # the Guest's RAM, if the test asked for it

    @property
    def reason(self) -> str:
        """The Host kernel's words for it."""
        return self.snapshot.reason

    @property
    def powered_off(self) -> bool:
        """The program came to its end."""
        return self.snapshot.end_kind == L.END_POWER_OFF


class PciMachine:
    """A machine with PCI functions.  ``answer`` is called for a register, ``kicked`` for a notify."""

    def __init__(
        self,
        engine_name: str,
        image: Image,
        functions: Iterable[Function] = (Function(),),
        *,
        answer: Answer = nothing,
        kicked: Callable[[PciMachine, int], None] = lambda machine, record: None,
        switcher: Switcher = "lean",
        polls: int = 0,
        first: int = 0,
        abi: int = L.LGUEST_DATA_1,
    ) -> None:
        self._plan = Plan(RAM_END)
        self.engine = engines.choose(engine_name).make(self._plan.total)
        self._answer, self._kicked = answer, kicked
        memory = self.engine.memory
        fill(self.engine, self._plan, image, "", None, switcher)
        machine = View(memory, L.MACHINE_ADDRESS, L.MACHINE)
        for name, value in {
            "bus": L.BUS_PCI,
            "bar_base": WINDOW_BASE,
            "bar_bytes": WINDOW_BYTES,
            "poll_microseconds": polls,
            "abi": abi,
        }.items():
            machine[name] = value
        for slot in range(L.PCI_SLOTS):
            start = L.PCI_ADDRESS + slot * L.PCI_FUNCTION.size
            memory[start : start + L.PCI_FUNCTION.size] = b"\xff" * 256 + bytes(L.PCI_FUNCTION.size - 256)
        for each in functions:
            each.write(memory)
        self.mailbox = View(memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        for number in range(L.VIRTUAL_IRQS):
            self.mailbox["irq_raised", number] = self.mailbox["config_raised", number] = first
        self._box = Mailbox(memory)
        self.requests: list[Request] = []
        self.notified: list[int] = []
        self.text = b""
        self.polls = polls
        self.interrupts = 0

    def wake(self) -> None:
        """The Host kernel must look, if it does not already."""
        barrier()
        if not self.mailbox["polling"]:
            self.interrupts += 1
            self.engine.interrupt()

    def count(self, name: str, slot: int = SLOT) -> None:
        """An interrupt of a function, by ``irq_raised`` or ``config_raised``; ``wake`` follows."""
        self.mailbox[name, slot] = (self.mailbox[name, slot] + 1) & 0xFFFFFFFF

    def serve(self) -> None:
        """All that the Host kernel asks for now."""
        box, v = self._box, self.mailbox
        box.clear_doorbell()
        text, full = box.take_text(L.TEXT_BYTES)
        self.text += text
        while (record := box.next_notify()) is not None:
            full |= box.consume_notify()
            self.notified.append(record)
            self._kicked(self, record)
        if v["register_head"] != v["register_tail"]:
            value = v["register_value"] if v["register_write"] else None
            request = Request(v["register_slot"], v["register_offset"], v["register_size"], value)
            self.requests.append(request)
            v["register_answer"] = self._answer(request)
            v["register_tail"] = v["register_head"]
            full = True
        if full:
            self.wake()

    def run(self, seconds: float = LONG, results: int = 0, memory: bool = False) -> Done:
        """Run it to its end.  Raises TimeoutError when that does not come."""
        try:
            self.engine.start(L.HOST_KERNEL_BASE, L.MACHINE_ADDRESS)
            until = time.monotonic() + seconds
            end = None
            while end is None:
                if time.monotonic() > until:
                    raise TimeoutError(f"{self.requests[-3:]} {self.notified[-3:]} {self._box.snapshot().last[-3:]}")
                select.select([self.engine.fileno()], [], [], 0.2)
                end = self.engine.poll()
                self.serve()
            self.engine.stop()
            base = self._plan.guest_base
            whole = self.engine.memory
            ram = whole[base : base + RAM_END]
            kept = list(struct.unpack_from(f"<{results}I", ram, RESULTS))
            devices = self._plan.device_bytes
            wrong = offences(whole, range(base, base + RAM_END + devices), b"")
            snapshot = self._box.snapshot()
            return Done(
                end, snapshot, kept, self.requests, self.notified, self.text, wrong, bytes(ram) if memory else b""
            )
        finally:
            self.engine.close()


def image_for(program: Program, user: bytes = b"", more: dict[int, bytes] | None = None) -> Image:
    """The Guest that runs this program in ring 1 and then powers off."""
    code = b"\xb8" + le32(CODE) + b"\xff\xe0"
    end = store(0x150000, 1) + b"\x0f\x0b"
    return image_of(program.personality, code, user, {CODE: program.code + end, **(more or {})})


CODE = 0x340000  # there is more room than in the slots


def run_program(
    engine_name: str,
    program: Program,
    functions: Iterable[Function] = (Function(),),
    *,
    user: bytes = b"",
    more: dict[int, bytes] | None = None,
    answer: Answer = nothing,
    kicked: Callable[[PciMachine, int], None] = lambda machine, record: None,
    switcher: Switcher = "lean",
    polls: int = 0,
    first: int = 0,
    made: Callable[[PciMachine], None] = lambda machine: None,
) -> Done:
    """Run a program: what it kept, and what it asked for.  The Host kernel's memory is whole afterwards."""
    image = image_for(program, user, more)
    machine = PciMachine(
        engine_name, image, functions, answer=answer, kicked=kicked, switcher=switcher, polls=polls, first=first
    )
    made(machine)
    done = machine.run(results=program.kept)
    assert not done.wrong, done.wrong
    assert done.snapshot.end_kind not in (L.END_INTERNAL, L.END_NONE), done.reason
    return done
