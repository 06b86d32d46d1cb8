# SPDX-License-Identifier: GPL-2.0-or-later
"""A native kernel reads CR2 and CR3 into each register: the Switcher answers, and for esp the Host kernel.

Source: Intel SDM vol. 2, MOV to and from control registers.  Read before: told_lab.py.
"""

from __future__ import annotations

import pytest
from hostile_code import DIRECTORY, EAX, ESP, SCRATCH, le32, mov
from hostile_lab import image_of
from told_lab import END, told

from lguest_py.launcher.vm_memory import Switcher

CODE, TOLD, STACK = 0x160000, SCRATCH + 0x1000, SCRATCH + 0x8000
CR2, CR3 = 0xD0, 0xD8  # in a ModRM byte
VALUES = {CR2: 0x89ABCDEF, CR3: DIRECTORY | 0x18}
REGISTERS = range(8)


def before(register: int) -> int:
    """What a register holds then."""
    return STACK if register == ESP else 0x11111111 * (register + 1)


@pytest.mark.parametrize("control", VALUES)
@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_each_register(engine_name: str, switcher: Switcher, control: int) -> None:
    value = VALUES[control]
    code = mov(EAX, value) + b"\x0f\x22" + bytes([control])
    for register in REGISTERS:
        code += b"".join(mov(each, before(each)) for each in REGISTERS) + b"\x0f\x20" + bytes([control | register])
        for each in REGISTERS:
            code += b"\x89" + bytes([each << 3 | 5]) + le32(TOLD + 4 * (8 * register + each))
    image = image_of("native", b"\xfa" + mov(EAX, CODE) + b"\xff\xe0", more={CODE: code + END})
    (words,), answered = told(engine_name, switcher, image, (TOLD, 64))
    for register in REGISTERS:
        expected = [value if each == register else before(each) for each in REGISTERS]
        assert words[8 * register : 8 * register + 8] == expected, register
    assert answered >= len(REGISTERS)  # cli, and all but esp
