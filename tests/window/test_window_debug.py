# SPDX-License-Identifier: GPL-2.0-or-later
"""A debug exception of the Guest's is never taken in ring 0: by TF on each way into a Switcher, or by breakpoints.

QEMU's gdb stub watches the place where both Switchers and the Host kernel answer one of ring 0.  What happens
if one is taken all the same: test_window_faults.py.  Source: Intel SDM vol. 3, 18.3.1.4, 6.8.3.
"""

from __future__ import annotations

import threading

import pytest
from gdb_remote import Remote
from hostile_code import DEBUG, EBX, GENERAL, PAGE_FAULT, PLACES, SCRATCH, TSS, le32, mov, push, store
from hostile_lab import SWITCHERS, Watched, harmless, image_of, run_image, symbols, word
from monitored import MonitoredTcg
from native_code import POWER_OFF
from told_lab import FOR_PROGRAMS, gates
from window_lab import instructions

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

CODE, COUNTS, GO, STACK, KERNEL_STACK = 0x160000, SCRATCH, SCRATCH + 0x80, SCRATCH + 0x8000, SCRATCH + 0x9000
HANDLERS = 0x168000
TF, WRITE_DR6, STACK_SELECTOR = 0x100, b"\x0f\x23\xf0", SCRATCH + 0x100
NOWHERE = 0xA00000  # no memory of the Guest's
CALL, SYSENTER, UD2, READ = b"\xcd\x80", b"\x0f\x34", b"\x0f\x0b", b"\x8b\x03"
# cli, in, mov from CR2 and CR3, cpuid
WAYS = CALL, b"\xcc", UD2, READ, SYSENTER
OF_THE_KERNEL = *WAYS, b"\xfa", b"\xe4\x61", b"\x0f\x20\xd0", b"\x0f\x20\xd8", b"\x0f\xa2"
END_CALL = 0x81
BREAKPOINTS = {  # DR7: all four, for accesses to four bytes but the first, which is for code
    0: L.SWITCHER_BASE,
    1: L.SWITCHER_STACK_PAGE + 0xFF0,
    2: TSS + 4,
    3: STACK_SELECTOR,
    7: 0x4AA | 0xFFF << 20,
}
SKIP = b"\x83\x04\x24\x02\xcf"  # add [esp], 2; iret


def handlers() -> tuple[bytes, dict[int, bytes]]:
    """Gates for programs, and their handlers: each counts, and goes on behind the instruction."""
    ends = {DEBUG: b"\xcf", 3: b"\xcf", 6: SKIP, GENERAL: b"\x83\xc4\x04" + SKIP, PAGE_FAULT: b"\x83\xc4\x04" + SKIP}
    ends |= {0x80: b"\xcf", END_CALL: POWER_OFF}
    places = {vector: HANDLERS + 32 * index for index, vector in enumerate(ends)}
    count = {vector: b"\xff\x05" + le32(COUNTS + 4 * index) for index, vector in enumerate(ends)}
    code = {places[vector]: count[vector] + end for vector, end in ends.items()}
    code[places[END_CALL]] = ends[END_CALL]
    return gates({vector: (place, FOR_PROGRAMS) for vector, place in places.items()}), code


class OfRing0(Watched):
    """A machine whose Guest waits until the stub watches."""

    taken: list[str]
    counts: list[int]

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        super().start(entry, ebx, tsc)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _places(self) -> list[int]:
        """Where ring 0 clears DR6 after a debug exception."""
        code = instructions("lean" if self._lean() else "classic", False)
        start = symbols()["debug_entry"]
        host = bytes(self.memory[start : start + 40])
        return [*(at for at, data in code.items() if data == WRITE_DR6), start + host.index(WRITE_DR6)]

    def _lean(self) -> bool:
        return word(self.memory, L.MACHINE_ADDRESS + L.MACHINE.fields["switcher"][0]) == L.SWITCHER_LEAN

    def _watch(self) -> None:
        engine = self._engine
        assert isinstance(engine, MonitoredTcg)
        engine.monitor("stop")
        remote = Remote(engine.gdb)
        try:
            for each in self._places():
                remote.breakpoint(each)
            self.memory[self.guest.start + GO] = 1
            while remote.go(60):
                now = remote.registers()
                self.taken.append(f"{now['eip']:#x}, from {word(self.memory, now['esp'] + 4):#x}")
                remote.step()
        except OSError:
            pass  # the machine ended
        finally:
            remote.close()

    def close(self) -> None:
        if not self.closed:
            self.counts[:] = [word(self.memory, self.guest.start + COUNTS + 4 * n) for n in range(6)]
        super().close()


@pytest.mark.parametrize("engine_name", ["tcg"])
@pytest.mark.parametrize("what", ["TF", "breakpoints"])
@SWITCHERS
def test_a_debug_exception_is_never_taken_in_ring_0(engine_name: str, what: str, switcher: Switcher) -> None:
    flags = TF * (what == "TF") | 2
    gate_code, more = handlers()
    wait = b"\x83\x3d" + le32(GO) + b"\x00\x74\xf7"
    begin = b"\xfa\xb0\xff\xe6\x21" + gate_code + store(TSS + 4, KERNEL_STACK) + store(STACK_SELECTOR, 0x2B) + wait
    if what == "breakpoints":
        for number, value in BREAKPOINTS.items():
            begin += mov(0, value) + b"\x0f\x23" + bytes([0xC0 | number << 3])
    begin += b"\xbc" + le32(STACK) + mov(EBX, NOWHERE) + push(flags) + b"\x9d" + b"".join(OF_THE_KERNEL)
    begin += push(0x2B, PLACES["USER_STACK"], flags, 0x23, PLACES["USER_SLOTS"]) + b"\xcf"
    load_ss = b"\x8e\x15" + le32(STACK_SELECTOR)
    user = b"".join(WAYS) + b"".join(load_ss + way for way in WAYS) + b"\xcd" + bytes([END_CALL])

    class Here(OfRing0):
        taken, counts = [], []

    guest = image_of("native", mov(0, CODE) + b"\xff\xe0", user, {CODE: begin, **more})
    run = harmless(run_image(engine_name, guest, watched=Here, switcher=switcher, engine=MonitoredTcg))
    assert run.result.outcome.end is End.POWERED_OFF, run.result.outcome
    debug, breakpoint_3, undefined, general, fault, call = Here.counts
    assert (breakpoint_3, undefined + general, fault, call) == (3, 6, 3, 3)
    assert debug > 10 if what == "TF" else debug > 0
    assert not Here.taken


@SWITCHERS
def test_a_breakpoint_in_ring_0_on_the_way_out_of_a_step(engine_name: str, switcher: Switcher) -> None:
    """DR6 says still that the Guest made a step, when the Host kernel records the exit, where a breakpoint is."""
    gate_code, more = handlers()
    begin = b"\xfa\xb0\xff\xe6\x21" + gate_code + b"\xbc" + le32(STACK)
    place = L.MAILBOX_ADDRESS + L.MAILBOX.fields["switch_head"][0]
    for number, value in {0: place, 7: 0x402 | 0xF << 16}.items():
        begin += mov(0, value) + b"\x0f\x23" + bytes([0xC0 | number << 3])
    begin += push(TF | 2) + b"\x9d" + b"\x90\x0f\xa2" * 8 + push(2) + b"\x9d" + POWER_OFF
    guest = image_of("native", mov(0, CODE) + b"\xff\xe0", b"", {CODE: begin, **more})
    run = harmless(run_image(engine_name, guest, switcher=switcher))
    assert run.result.outcome.end is End.POWERED_OFF, run.result.outcome
