# SPDX-License-Identifier: GPL-2.0-or-later
"""A native Guest that programs its local APIC and its I/O APIC, and logs each interrupt that it takes.

Source: Intel SDM vol. 3, chapter 11; Intel 82093AA datasheet.  Read before: pci_lab.py.
Read next: tests/native/test_local_apic.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from hostile_code import EAX, ECX, EDX, IDT, gate, le32, mov, store, two_words
from interrupt_lab import PIC_MASK, out_byte
from pci_lab import MMIO, RESULTS, Program

from lguest_py.shared_memory import _layouts as L

LOCAL, IO, BARS = L.LOCAL_APIC_ADDRESS, L.IO_APIC_ADDRESS, MMIO + 0x2000  # BARS: where a function's are mapped
LOCAL_AT, IO_AT = MMIO, MMIO + 0x1000  # where the program has mapped them
ID, VERSION, TPR, PPR, EOI, LDR, DFR, SVR = 0x20, 0x30, 0x80, 0xA0, 0xB0, 0xD0, 0xE0, 0xF0
ISR, TMR, IRR, ESR, ICR, ICR_HIGH = 0x100, 0x180, 0x200, 0x280, 0x300, 0x310
TIMER, LINT0, LINT1, ERROR, INITIAL, CURRENT, DIVIDE = 0x320, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3E0
SELECT, WINDOW, IO_ENTRY = 0, 0x10, 0x10
MASKED, PERIODIC, ENABLED, TO_SELF = 0x10000, 0x20000, 0x100, 0x40000
LEVEL, LOW, REMOTE_IRR, LOGICAL = 0x8000, 0x2000, 0x4000, 0x800
BY_1 = 0xB
HANDLERS = 0x370000  # 64 bytes for each vector
COUNT, SEEN = RESULTS + 0x4000, RESULTS + 0x4010  # how many interrupts, and their vectors


class ApicProgram(Program):
    """A program in ring 1; ``vectors`` are logged, and ended with an EOI if ``ends``."""

    def __init__(self, vectors: Iterable[int] = (), *, ends: bool = True) -> None:
        super().__init__("native")
        self.raw(out_byte(PIC_MASK, 0xFF), out_byte(0x43, 0x30))  # hostile.S started a timer
        self.map(LOCAL, LOCAL_AT, 1)
        self.map(IO, IO_AT, 1)
        self.handlers: dict[int, bytes] = {}
        for vector in vectors:
            self.handler(vector, self.end() if ends else b"")

    def handler(self, vector: int, then: bytes) -> None:
        """Log this vector, and do something."""
        place = HANDLERS + 64 * vector
        log = b"\x8b\x0d" + le32(COUNT) + b"\xc7\x04\x8d" + le32(SEEN) + le32(vector) + b"\xff\x05" + le32(COUNT)
        self.handlers[place] = b"\x60" + log + then + b"\x61\xcf"
        assert len(self.handlers[place]) <= 64
        self.raw(two_words(IDT + 8 * vector, gate(place, 0x10, 0x8E)))

    @staticmethod
    def end() -> bytes:
        """An EOI."""
        return store(LOCAL_AT + EOI, 0)

    def put(self, register: int, value: int) -> None:
        """Write a register of the local APIC."""
        self.raw(store(LOCAL_AT + register, value))

    def get(self, register: int) -> None:
        """Read one, and keep it."""
        self.raw(b"\xa1" + le32(LOCAL_AT + register))
        self.keep()

    def put_io(self, number: int, value: int) -> None:
        """Write a register of the I/O APIC."""
        self.raw(store(IO_AT + SELECT, number), store(IO_AT + WINDOW, value))

    def get_io(self, number: int) -> None:
        """Read one, and keep it."""
        self.raw(store(IO_AT + SELECT, number), b"\xa1" + le32(IO_AT + WINDOW))
        self.keep()

    def pin(self, pin: int, low: int, high: int = 0) -> None:
        """Write a redirection entry."""
        self.put_io(IO_ENTRY + 2 * pin + 1, high)
        self.put_io(IO_ENTRY + 2 * pin, low)

    def send(self, vector: int) -> None:
        """An interrupt to itself."""
        self.put(ICR, TO_SELF | vector)

    def opened(self) -> None:
        """Let what is pending come."""
        self.raw(b"\xfb\x90\x90\xfa")

    def wait(self, count: int) -> None:
        """Halt until so many interrupts came."""
        body = b"\xfb\xf4\xfa"
        test = b"\x83\x3d" + le32(COUNT) + bytes([count])  # cmp dword [COUNT], count
        self.raw(test + b"\x73" + bytes([len(body) + 2]) + body + b"\xeb" + bytes([256 - len(body) - 4 - len(test)]))

    def seen(self, count: int) -> None:
        """Keep how many interrupts came, and the first vectors."""
        for place in (COUNT, *(SEEN + 4 * number for number in range(count))):
            self.raw(b"\xa1" + le32(place))
            self.keep()

    def read_base(self) -> None:
        """Keep the low half of the MSR with the APIC's base."""
        self.raw(mov(ECX, 0x1B) + b"\x0f\x32")
        self.keep()

    def write_base(self, low: int) -> None:
        """Write it."""
        self.raw(mov(ECX, 0x1B) + mov(EAX, low) + mov(EDX, 0) + b"\x0f\x30")

    def pause(self, microseconds: int) -> None:
        """Let at least this long go by, with interrupts off, by the PIT's second channel."""
        ticks = 1193182 * microseconds // 1000000
        for port, value in ((0x61, 1), (0x43, 0xB0), (0x42, ticks & 0xFF), (0x42, ticks >> 8)):
            self.raw(out_byte(port, value))
        self.raw(b"\xe4\x61\xa8\x20\x74\xfa")  # in al, 0x61; test al, 0x20; jz
