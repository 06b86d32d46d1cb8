# SPDX-License-Identifier: GPL-2.0-or-later
"""The window between the worlds: stop the CPU at each instruction of a Switcher, and let something happen there.

The CPU gets an NMI at every instruction with eip set to it.  Then a breakpoint is at each, and where the Guest's work
leads the CPU to one, an NMI and an interrupt come with the state that it has there.  A fault is made by other bytes at
that place.  tcg only: QEMU's gdb stub.
Read before: fuzz_lab.py, gdb_remote.py.  Read next: tests/window/test_window.py.
"""

from __future__ import annotations

import struct
import threading
from typing import Any, ClassVar

from fuzz_lab import Fed
from gdb_remote import Remote
from hostile_lab import symbols, word
from monitored import MonitoredTcg

from lguest_py.launcher.vm_memory import PAGE, Switcher, built
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

IF, TF = 0x200, 0x100
STUB = 0x9F800  # memory that nobody uses
LINT1, AS_NMI = 0xFEE00360, 0x400
WAIT = 8.0  # seconds without a breakpoint: the work leads nowhere new
CALLS_IT = b"\xff\xd3", b"\x0f\x84"  # what leads to the Host kernel's handler, as it must: call *ebx, je
IRET = b"\xcf"
NO_SELECTOR = b"\xea" + bytes(6)  # ljmp 0:0: general protection
NO_PAGE = b"\x2e\xa1" + struct.pack("<I", 0xFFFFF000)  # a load from where nothing is mapped


def instructions(switcher: Switcher, pae: bool) -> dict[int, bytes]:
    """Its instructions by address, without the nops that fill its page."""
    from elftools.elf.elffile import ELFFile
    from iced_x86 import Code, Decoder

    with built("host_kernel_pae.elf" if pae else "host_kernel.elf").open("rb") as file:
        elf: Any = ELFFile(file)
        text = bytes(elf.get_section_by_name(".switcher_lean" if switcher == "lean" else ".switcher").data())
    found, last = {}, L.SWITCHER_BASE
    for each in Decoder(32, text, ip=L.SWITCHER_BASE):
        at = each.ip32 - L.SWITCHER_BASE
        found[each.ip32] = text[at : at + each.len]
        if each.code not in (Code.NOPD, Code.NOPW):
            last = each.ip32
    return {address: data for address, data in found.items() if address <= last}


def place_of(memory: memoryview, address: int, pae: bool) -> int:
    """Where an instruction of the Switcher or of the Host kernel is in the machine's memory."""
    if address < L.SWITCHER_BASE:
        return address
    lean = View(memory, L.MACHINE_ADDRESS, L.MACHINE)["switcher"] == L.SWITCHER_LEAN
    return symbols(pae)["switcher_load"] + lean * PAGE + address - L.SWITCHER_BASE


class Stepped(Fed):
    """An engine whose CPU is stopped at each of ``wanted``."""

    patience = 1e9  # it stands still for long
    wanted: ClassVar[set[int]] = set()
    fault: ClassVar[bytes] = b""  # what stands there instead, once; b"": NMI and interrupt
    natural: ClassVar[set[int]] = set()
    forced: ClassVar[set[int]] = set()
    interrupts: ClassVar[int] = 0
    wrong_at: ClassVar[list[str]] = []

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        super().start(entry, ebx, tsc)
        self._work = threading.Thread(target=self._works, daemon=True)
        self._work.start()

    def close(self) -> None:
        if not self.closed and hasattr(self, "_work"):
            self._ending.set()
            self._work.join()
        super().close()

    def _works(self) -> None:
        while not self._switches() and not self._ending.wait(0.01):
            pass
        assert isinstance(self.bare, MonitoredTcg)
        remote = Remote(self.bare.gdb)
        try:
            self._stops(remote, self.bare)
        except OSError:
            pass  # the machine ended
        except Exception as error:
            self.wrong_at.append(f"the test itself: {error!r}")
        finally:
            remote.close()
            self.feed.batches = iter(())

    def _stops(self, remote: Remote, bare: MonitoredTcg) -> None:
        left, first = set(self.wanted), L.SWITCHER_BASE
        remote.breakpoint(first)
        assert remote.go(WAIT)
        self._let_nmis_come(remote)
        for each in sorted(left) if not self.fault else ():
            remote.set("eip", each)
            self._nmi(remote, bare, each)
            self.forced.add(each)
        remote.set("eip", first)
        for each in left - {first}:
            remote.breakpoint(each)
        if first not in left:
            remote.breakpoint(first, False)
        while left and not self._ending.is_set() and remote.go(WAIT):
            now = remote.registers()
            at = now["eip"]
            if at not in left:
                continue
            remote.breakpoint(at, False)
            if now["cs"] & 3:  # the Guest jumped there
                remote.step()
                remote.breakpoint(at)
                continue
            left.discard(at)
            self.natural.add(at)
            if self.fault:
                self._fault(remote, at)
                break
            self._nmi(remote, bare, at)
            self._interrupt(remote, at)
        for each in left:
            remote.breakpoint(each, False)

    def _let_nmis_come(self, remote: Remote) -> None:
        """The pin LINT1 of the local APIC becomes an NMI, by an instruction of ours in ring 0."""
        eip = remote.registers()["eip"]
        data = b"\x36\xc7\x05" + struct.pack("<II", LINT1, AS_NMI)
        self.memory[STUB : STUB + len(data)] = data
        remote.set("eip", STUB)
        remote.step()
        assert remote.registers()["eip"] == STUB + len(data)
        remote.set("eip", eip)
        self.memory[STUB : STUB + 12] = bytes(12)

    def _pages(self) -> list[bytes]:
        at = symbols(self.pae)
        return [bytes(self.memory[at[name] : at[name] + PAGE]) for name in ("stack_page", "state_page")]

    def _nmi(self, remote: Remote, bare: MonitoredTcg, at: int) -> None:
        """It comes, and all is as before."""
        before, pages = remote.registers(), self._pages()
        if before["eflags"] & (IF | TF) or before["cs"] & 3:
            self.wrong_at.append(f"{at:#x}: eflags {before['eflags']:#x}, cs {before['cs']:#x}")
        bare.monitor("nmi")
        remote.masks_interrupts(False)
        remote.step()
        here = at, before["esp"]  # both: one of these instructions is the NMI's handler itself
        now = remote.registers()
        for _ in range(3):  # QEMU may stop once before it has begun
            if (now["eip"], now["esp"]) == here:
                remote.step()
                now = remote.registers()
        if now["eip"] not in self._handlers():
            self.wrong_at.append(f"{at:#x}: the NMI leads to {now['eip']:#x}")
        for _ in range(4):
            if (now["eip"], now["esp"]) == here:
                break
            remote.step()
            now = remote.registers()
        after = remote.registers()
        stack = before["esp"] - L.SWITCHER_STACK_PAGE
        if 12 <= stack <= PAGE:  # the frame itself is below esp
            pages[0] = pages[0][: stack - 12] + pages[0][stack:]
            pages_now = self._pages()
            pages_now[0] = pages_now[0][: stack - 12] + pages_now[0][stack:]
        else:
            pages_now = self._pages()
        if after != before or pages_now != pages:
            changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
            self.wrong_at.append(f"{at:#x}: changed by an NMI: {changed}, pages {pages_now != pages}")

    def _handlers(self) -> set[int]:
        at = symbols(self.pae)
        entries = [word(self.memory, at[name] + 4 * 2) for name in ("lean_entries", "classic_entries")]
        return {*entries, at["ignore_entry"]}

    def _interrupt(self, remote: Remote, at: int) -> None:
        """The doorbell comes, and waits until the CPU is no longer here."""
        self.interrupt()
        remote.step()
        now = remote.registers()
        place = place_of(self.memory, at, self.pae)
        calls = bytes(self.memory[place : place + 2])
        taken = now["eip"] != at and not now["cs"] & 3 and now["eip"] in self._doors()
        if taken and calls not in CALLS_IT and at not in returns(self.pae):
            self.wrong_at.append(f"{at:#x}: the interrupt was taken here")
        type(self).interrupts += 1

    def _doors(self) -> set[int]:
        """Where the gates of the doorbell lead."""
        symbol = symbols(self.pae)
        entries = {
            word(self.memory, symbol[name] + 4 * L.VECTOR_DOORBELL) for name in ("lean_entries", "classic_entries")
        }
        return {*entries, symbol["doorbell_entry"]}

    def _fault(self, remote: Remote, at: int) -> None:
        """Other bytes stand there for one step."""
        kept = remote.ask(f"m{at:x},{len(self.fault):x}")
        assert remote.ask(f"M{at:x},{len(self.fault):x}:{self.fault.hex()}") == "OK"
        remote.step()
        assert remote.ask(f"M{at:x},{len(self.fault):x}:{kept}") == "OK"


def returns(pae: bool) -> set[int]:
    """Where an iret stands, behind which interrupts may be open."""
    both: tuple[Switcher, ...] = ("lean", "classic")
    return {at for each in both for at, data in instructions(each, pae).items() if data == IRET}
