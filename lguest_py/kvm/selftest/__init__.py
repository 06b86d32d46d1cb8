# SPDX-License-Identifier: GPL-2.0-or-later
"""Run selftest.S in a VM and report the first step that failed.

The image comes from tools/build_images.py, as lguest_py/_images/selftest.bin.
Read next: selftest.S.
"""

from __future__ import annotations

import mmap
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lguest_py.kvm.exits import Exit, Hlt, Interrupted, Io
from lguest_py.kvm.structs import Registers
from lguest_py.kvm.system import Kvm
from lguest_py.kvm.vcpu import Vcpu
from lguest_py.kvm.x86 import TSS_ADDRESS, flat_protected_mode

IMAGE: Final = Path(__file__).resolve().parents[2] / "_images" / "selftest.bin"
BASE: Final = 0x1000
MEMORY: Final = 0x10000
RESULT_PORT: Final = 0x510
DONE: Final = 0x600D  # the value of ebx at the last hlt

# (result of a 32-bit processor, the step that failed when this is the first missing or different result)
EXPECTED: Final[tuple[tuple[int, str], ...]] = (
    (0x051F7E57, "32-bit paging"),
    (0x28, "ltr"),
    (0x08, "int in ring 0"),
    (0x19, "iret to ring 1"),
    (0x19, "int from ring 1"),
    (0x21, "the stack switch from ring 1"),
    (0xFFC00FEC, "the trap stack at 0xFFC00000"),
    (0, "cli in ring 1 faulting"),
    (0x19, "a fault in ring 1"),
    (3, "a page fault in ring 1"),
    (0xFFC01000, "CR2"),
    (0x051F7E57, "write protection in ring 1"),
)


@dataclass(frozen=True)
class Result:
    """The written ``results``, the exit ``end`` that stopped the run, and the registers at that time."""

    results: tuple[int, ...]
    end: Exit
    registers: Registers

    @property
    def failed(self) -> str:
        """The first step that failed; "" when all passed."""
        for index, (value, what) in enumerate(EXPECTED):
            if self.results[index : index + 1] != (value,):
                return what
        return "" if self.end == Hlt() and self.registers.rbx == DONE else "hlt"


@cache
def image() -> bytes:
    """The assembled test."""
    return IMAGE.read_bytes()


def run(kvm: Kvm, code: bytes | None = None, seconds: float = 5.0) -> Result:
    """Run the test, or other code at its address, for at most ``seconds``. Raises KvmError.

    The result's ``end`` is Interrupted after the time limit, else the first exit other than an OUT to RESULT_PORT.
    """
    with mmap.mmap(-1, MEMORY) as memory, kvm.create_vm() as vm:
        code = image() if code is None else code
        memory[BASE : BASE + len(code)] = code
        vm.set_tss_address(TSS_ADDRESS)
        vm.set_memory(0, 0, memory)
        vcpu = vm.create_vcpu()
        vcpu.set_sregs(flat_protected_mode(vcpu.get_sregs()))
        vcpu.set_regs(Registers(rip=BASE))
        late = threading.Event()

        def stop() -> None:
            late.set()
            vcpu.kick()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            return _follow(vcpu, late)
        finally:
            timer.cancel()
            timer.join()


def _follow(vcpu: Vcpu, late: threading.Event) -> Result:
    results: list[int] = []
    while True:
        match vcpu.run():
            case Io(port=port, is_write=True, data=data) if port == RESULT_PORT and len(results) <= len(EXPECTED):
                results.append(int.from_bytes(data, "little"))
            case Interrupted() if not late.is_set():
                pass
            case end:
                return Result(tuple(results), end, vcpu.get_regs())
