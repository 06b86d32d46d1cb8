# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that takes the interrupt of a PCI function: tests/host_kernel/test_pci_interrupts.py, doorbell_lab.py.

Read before: pci_lab.py.
"""

from __future__ import annotations

from hostile_code import DATA, EAX, EBX, ECX, EDX, IDT, gate, le32, mov, store, two_words
from pci_lab import IRQ, MMIO, RESULTS, Program

from lguest_py.images.image import Personality
from lguest_py.shared_memory import _layouts as L

HANDLER = 0x360000
COUNT, SEEN = RESULTS + 0x4000, RESULTS + 0x4010  # how many interrupts, and the ISR that each found
PIC_MASK, PIC_TRIGGER = 0x21, 0x4D0


def out_byte(port: int, value: int) -> bytes:
    """A byte to a port."""
    return mov(EAX, value) + mov(EDX, port) + b"\xee"


def keep_isr(page: int) -> bytes:
    """Read the ISR of the function mapped at ``page``, and append it to what was seen."""
    read = b"\x0f\xb6\x05" + le32(page + L.BAR_ISR)  # movzx eax, byte
    return read + b"\x8b\x0d" + le32(COUNT) + b"\x89\x04\x8d" + le32(SEEN) + b"\xff\x05" + le32(COUNT)


class Interruptible(Program):
    """A program that takes interrupt ``irq``; its handler reads the ISR, or does something else."""

    def __init__(self, personality: Personality, handler: bytes | None = None, irq: int = IRQ) -> None:
        super().__init__(personality)
        self.map()
        vector = L.FIRST_IRQ_VECTOR + irq
        native = personality == "native"
        leads = gate(HANDLER, 0x10 if native else L.GUEST_CS, 0x8E)
        open_again = b"" if native else store(DATA, L.GUEST_IF)
        body = keep_isr(MMIO) if handler is None else handler
        self.handler = {HANDLER: b"\x60" + body + open_again + b"\x61\xcf"}
        if native:
            self.raw(two_words(IDT + 8 * vector, leads))
            self.raw(out_byte(PIC_TRIGGER, 1 << IRQ), out_byte(PIC_MASK, 0xFF & ~(1 << irq)))
        else:
            self.raw(mov(EAX, L.LHCALL_LOAD_IDT_ENTRY), mov(EBX, vector))
            self.raw(mov(ECX, leads & 0xFFFFFFFF), mov(EDX, leads >> 32), b"\xcd\x1f")
            self.raw(store(DATA + 4, ~(1 << irq)))

    def wait(self) -> None:
        """Halt until an interrupt came, and close them again."""
        if self.personality == "native":
            self.raw(b"\xfb\xf4\xfa")
        else:
            self.raw(mov(EAX, L.LHCALL_HALT), b"\xcd\x1f", store(DATA, 0))

    def opened(self) -> None:
        """Let what is pending come."""
        if self.personality == "native":
            self.raw(b"\xfb\x90\x90\xfa")
        else:
            self.raw(store(DATA, L.GUEST_IF), mov(EAX, L.LHCALL_SEND_INTERRUPTS), b"\xcd\x1f", store(DATA, 0))

    def tell(self, count: int) -> None:
        """Keep how many interrupts came, and the first ISRs."""
        for place in (COUNT, *(SEEN + 4 * number for number in range(count))):
            self.raw(b"\xa1" + le32(place))
            self.keep()
