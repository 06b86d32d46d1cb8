# SPDX-License-Identifier: GPL-2.0-or-later
"""The Guest as gdb's target: its registers in either ring, its memory through its own page tables, breakpoints in it.

A breakpoint is an int3 at a physical address, so it is there in each address space that maps the page.  What gdb reads
of memory never shows it.  The Host kernel stops at each int3, and here is decided whose it is.
While the Guest has no page tables of its own, an address from 0xC0000000 on means the physical one where Linux will map
it: so a breakpoint in a kernel can be set before the kernel's first instruction.
Read before: host_kernel/debugger/debugger.c.  Read next: monitor.py, hardware.py, session.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from lguest_py.errors import LguestError
from lguest_py.gdb import registers
from lguest_py.gdb.hardware import Registers
from lguest_py.gdb.monitor import Monitor
from lguest_py.gdb.target import SIGINT, SOFTWARE, NotPossibleError, Stop
from lguest_py.launcher.vm import Vm
from lguest_py.postmortem.walk import PAGE
from lguest_py.shared_memory import _layouts as L

INT3 = 0xCC
WHO = "gdb"
NO_HARDWARE = "the processor's own breakpoints do not go off in this machine, as in an emulated SVM"
CLEARED = 0x1A3000  # of eflags: the Host kernel would clear them: VIP, VIF, VM, IOPL


class GuestTarget:
    """It.  ``vm`` stands still, or was asked to."""

    def __init__(self, vm: Vm) -> None:
        self._vm = vm
        self._hardware, self._monitor = Registers(), Monitor(vm)
        self._places: dict[int, int] = {}  # of breakpoints: the physical address by the virtual one
        self._bytes: dict[int, int] = {}  # what is below the int3 at a physical address
        self._over: tuple[int, bool] | None = None  # a breakpoint that is stepped over, and whether gdb wants a step
        self._first = True

    # The processor.

    def registers(self) -> list[bytes]:
        """See Target."""
        view, debugger = self._vm.registers(), self._vm.debugger
        values = {name: view[name] & (0xFFFF if name in registers.SELECTORS else ~0) for name in registers.GENERAL}
        return registers.raw(values, debugger.controls(), debugger.fpu())

    def set_register(self, name: str, value: int) -> None:
        """See Target."""
        if name not in registers.GENERAL:
            raise NotPossibleError(f"{name} of the Guest cannot be changed")
        if name == "eflags":
            value &= ~CLEARED
        self._vm.registers()[name] = value & 0xFFFFFFFF

    # Memory.

    def physical(self, address: int) -> int | None:
        """The Guest-physical address of a virtual one."""
        tables = self._vm.tables()
        found = tables.walk(address).physical
        if found is None and address >= L.NATIVE_KERNEL_HALF and tables.walk(L.NATIVE_KERNEL_HALF).physical is None:
            below = address - L.NATIVE_KERNEL_HALF
            return below if below < len(tables.memory) else None
        return found

    def _pieces(self, address: int, count: int) -> Iterator[tuple[int, int]]:
        """(physical address, count) of each page's part, as far as pages are mapped."""
        while count and address < 1 << 32:
            here = min(count, PAGE - address % PAGE)
            physical = self.physical(address)
            if physical is None:
                return
            yield physical, here
            address, count = address + here, count - here

    def read(self, address: int, count: int) -> bytes:
        """See Target."""
        memory, found = self._vm.tables().memory, bytearray()
        for physical, here in self._pieces(address, count):
            part = bytearray(memory[physical : physical + here])
            for place, byte in self._bytes.items():
                if physical <= place < physical + len(part):
                    part[place - physical] = byte
            found += part
        return bytes(found)

    def write(self, address: int, data: bytes) -> None:
        """See Target."""
        pieces = list(self._pieces(address, len(data)))
        if sum(count for _, count in pieces) < len(data):
            raise NotPossibleError("not mapped")
        for physical, count in pieces:
            part, data = bytearray(data[:count]), data[count:]
            for place in self._bytes:
                if physical <= place < physical + count:
                    self._bytes[place], part[place - physical] = part[place - physical], INT3
            for at in range(0, count, L.DEBUGGER_BYTES):
                self._poke(physical + at, bytes(part[at : at + L.DEBUGGER_BYTES]))

    def _poke(self, physical: int, data: bytes) -> None:
        try:
            self._vm.poke(physical, data)
        except LguestError as error:
            raise NotPossibleError(str(error)) from None

    # Breakpoints.

    def insert(self, kind: int, address: int, size: int) -> None:
        """See Target."""
        physical = self.physical(address) if kind == SOFTWARE else None
        if physical is None:  # of a program that does not run yet: the debug registers know no address spaces
            if not self._vm.debugger.has_hardware():
                raise NotPossibleError(NO_HARDWARE)
            self._hardware.insert(kind, address, size)
            return
        if physical not in self._bytes:
            byte = self._vm.tables().memory[physical]
            self._poke(physical, bytes([INT3]))
            self._bytes[physical] = byte
        self._places[address] = physical
        self._vm.patched = WHO

    def remove(self, kind: int, address: int, size: int) -> None:
        """See Target."""
        physical = self._places.pop(address, None) if kind == SOFTWARE else None
        if physical is None:
            self._hardware.remove(kind, address, size)
        elif physical not in self._places.values():
            self._uncover(physical)
            del self._bytes[physical]
        self._vm.patched = WHO if self._bytes else ""

    def _uncover(self, physical: int) -> None:
        """Put the byte back, unless the Guest has written another there."""
        if self._vm.tables().memory[physical] == INT3:
            self._poke(physical, bytes([self._bytes[physical]]))

    def _cover(self, physical: int) -> None:
        memory = self._vm.tables().memory
        if memory[physical] != INT3:
            self._bytes[physical] = memory[physical]
            self._poke(physical, bytes([INT3]))

    # Going on and stopping.

    def _go(self, step: bool, more: int = 0) -> None:
        wanted = L.DEBUGGER_ATTACHED | more | (L.DEBUGGER_STEP if step else 0)
        vm = self._vm
        vm.debugger.want(wanted, self._hardware.addresses(), self._hardware.control())
        vm.held = ""
        vm.ask(False)

    def resume(self, step: bool) -> None:
        """See Target.  From a place with a breakpoint, which gdb knows by another address, by a step over it."""
        eip = self._vm.registers()["eip"]
        here = self.physical(eip)
        if here is not None and here in self._bytes and eip not in self._places:
            self._over = here, step
            self._uncover(here)
            step = True
        self._go(step)

    def interrupt(self) -> None:
        """See Target."""
        self._vm.ask(True)

    def stopped(self) -> Stop | None:
        """See Target."""
        vm = self._vm
        if not vm.stopped:
            return None
        itself, (cause, hits) = vm.debugger.pending(), vm.debugger.why()
        vm.stands()
        vm.debugger.seen()
        vm.held = WHO
        over, self._over = self._over, None
        if over and over[0] in self._bytes:
            self._cover(over[0])
        if not itself:
            first, self._first = self._first, False
            return Stop() if first else Stop(SIGINT)
        if cause == L.DEBUGGER_INT3:
            return self._at_int3()
        if hits:
            return Stop(more=self._hardware.why(hits))
        if over and not over[1]:
            self._go(step=False)
            return None
        return Stop()

    def _at_int3(self) -> Stop | None:
        """At a breakpoint; or at an int3 of the Guest's own, which it gets."""
        here = self.physical(self._vm.registers()["eip"])
        if here in self._bytes:
            return Stop(more="swbreak:;")
        own = here is not None and self._vm.tables().memory[here] == INT3
        self._go(step=False, more=L.DEBUGGER_DELIVER if own else 0)
        return None

    def leave(self) -> None:
        """Of a Guest that stands still: remove all breakpoints, and let it go on without gdb."""
        for physical in list(self._bytes):
            self._uncover(physical)
        self._bytes.clear()
        self._places.clear()
        vm = self._vm
        vm.debugger.want(0)
        vm.held = vm.patched = ""
        vm.ask(False)

    def monitor(self, command: str) -> str:
        """See Target."""
        return self._monitor.obey(command)
