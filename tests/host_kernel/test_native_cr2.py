# SPDX-License-Identifier: GPL-2.0-or-later
"""A native kernel reads CR2 into each register: the Switcher answers, and for esp the Host kernel.

Source: Intel SDM vol. 2, MOV to and from control registers.  Read before: test_native_iret.py.
"""

from __future__ import annotations

import pytest
from hostile_code import EAX, ESP, PLACES, SCRATCH, le32, mov, store
from hostile_lab import LONG, Watched, harmless, image_of, run_image, symbols, word

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

CODE, TOLD, STACK = 0x160000, SCRATCH + 0x1000, SCRATCH + 0x8000
VALUE = 0x89ABCDEF
REGISTERS = range(8)


def before(register: int) -> int:
    """What a register holds then."""
    return STACK if register == ESP else 0x11111111 * (register + 1)


@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_each_register(engine_name: str, switcher: Switcher) -> None:
    seen: list[list[int]] = []

    class Told(Watched):
        def close(self) -> None:
            if not self.closed:
                start, own = self.guest.start + TOLD, symbols()["stack_page"] + L.UNTRUSTED.fields["fast_paths"][0]
                seen.append([word(self.memory, start + 4 * n) for n in range(64)])
                seen.append([word(self.memory, own)])
            super().close()

    code = mov(EAX, VALUE) + b"\x0f\x22\xd0"
    for register in REGISTERS:
        code += b"".join(mov(each, before(each)) for each in REGISTERS) + b"\x0f\x20" + bytes([0xD0 | register])
        for each in REGISTERS:
            code += b"\x89" + bytes([each << 3 | 5]) + le32(TOLD + 4 * (8 * register + each))
    code += store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    image = image_of("native", b"\xfa" + mov(EAX, CODE) + b"\xff\xe0", more={CODE: code})
    run = harmless(run_image(engine_name, image, seconds=LONG, watched=Told, switcher=switcher))
    assert run.result.outcome.end is End.POWERED_OFF
    for register in REGISTERS:
        expected = [VALUE if each == register else before(each) for each in REGISTERS]
        assert seen[0][8 * register : 8 * register + 8] == expected, register
    assert seen[1][0] >= len(REGISTERS)  # cli, and all but esp
