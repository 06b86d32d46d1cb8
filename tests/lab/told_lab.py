# SPDX-License-Identifier: GPL-2.0-or-later
"""A native Guest of a few instructions that leaves words in its memory: run it, and read them at its end.

Read before: hostile_lab.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from hostile_code import IDT, PLACES, gate, le32, push, store, two_words
from hostile_lab import LONG, Watched, harmless, run_image, symbols, word

from lguest_py.images import Image
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

END = store(PLACES["BUDGET"], 1) + b"\x0f\x0b"  # power off
KERNEL_CODE, FOR_PROGRAMS, FOR_THE_KERNEL = 0x10, 0xEE, 0x8E  # the last two: interrupt gates, by who may raise them

NOTHING = 0xFFFFFFFF  # what no handler tells
STORE_ECX, LOAD_GS = b"\x89\x0d", b"\x8e\xe8"  # mov [], ecx, an address follows; mov gs, eax
MASK = b"\xfa\xb0\xff\xe6\x21"  # cli, and no interrupt gets through
PENDING = b"\xfa\xe4\x20\xa8\x01\x74\xfa"  # cli, and wait until the clock's is requested


def stack_words(place: int, count: int) -> bytes:
    """Keep so many words of the stack at ``place``."""
    return b"".join(b"\x8b\x44\x24" + bytes([4 * n]) + b"\xa3" + le32(place + 4 * n) for n in range(count))


def cleared(place: int, count: int) -> bytes:
    """Set so many words to NOTHING."""
    return b"".join(store(place + 4 * n, NOTHING) for n in range(count))


def to_program(flags: int = 2, program: int = PLACES["USER_SLOTS"]) -> bytes:
    """The kernel's return to a program."""
    return push(0x2B, PLACES["USER_STACK"], flags, 0x23, program) + b"\xcf"


def gates(handlers: Mapping[int, tuple[int, int]]) -> bytes:
    """Set gates: vector -> the handler's address, and FOR_PROGRAMS or FOR_THE_KERNEL."""
    return b"".join(
        two_words(IDT + 8 * vector, gate(place, KERNEL_CODE, access)) for vector, (place, access) in handlers.items()
    )


def told(engine_name: str, switcher: Switcher, image: Image, *places: tuple[int, int]) -> tuple[list[list[int]], int]:
    """What is in each place, an address and a number of words, at the end; and how many traps the Switcher answered.

    The Guest must power off, and leave the Host kernel sound.
    """
    seen: list[list[int]] = []
    answered: list[int] = []

    class Told(Watched):
        def close(self) -> None:
            if not self.closed:
                for address, count in places:
                    start = self.guest.start + address
                    seen.append([word(self.memory, start + 4 * n) for n in range(count)])
                stack_page = symbols(image.pae)["stack_page"]
                answered.append(word(self.memory, stack_page + L.UNTRUSTED.fields["fast_paths"][0]))
            super().close()

    run = harmless(run_image(engine_name, image, seconds=LONG, watched=Told, switcher=switcher))
    assert run.result.outcome.end is End.POWERED_OFF, run.result.outcome
    return seen, answered[0]
