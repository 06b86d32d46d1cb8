# SPDX-License-Identifier: GPL-2.0-or-later
"""The Switcher faults while it restores a Guest's registers: the Guest dies, and the report has its real registers.

So has one on virtual-8086 mode, whose frame is longer.  Read before: host_kernel/machine/misplaced_frame.c.
"""

from __future__ import annotations

import struct

import pytest
from hostile_code import EAX, EBP, EBX, ECX, EDI, EDX, ESI, GDT, PLACES, flat, le32, mov, push, store, two_words
from hostile_guest import CALL
from hostile_lab import SWITCHERS, Run, harmless, image_of, run_image

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

SLOTS, STACK = PLACES["SLOTS"], PLACES["STACK"]
ENTRY = 17  # of the GDT, unused
SELECTOR = ENTRY << 3 | 1
DATA, CODE, UNREADABLE = flat(0xB3), flat(0xBB), flat(0xB9)
SEGMENTS = {"gs": b"\x8e\xe8", "fs": b"\x8e\xe0", "ds": b"\x8e\xd8", "es": b"\x8e\xc0"}  # moves from eax
GENERAL = {"ebp": 0x1111, "esi": 0x2222, "edi": 0x3333}
LOAD = b"".join(mov(register, GENERAL[name]) for register, name in ((EBP, "ebp"), (ESI, "esi"), (EDI, "edi")))
GENERAL_PROTECTION = f"fault 13 (error code {SELECTOR & ~3:#x})"


def load_entry(descriptor: int) -> bytes:
    """The hypercall for it."""
    low, high = descriptor & 0xFFFFFFFF, descriptor >> 32
    return mov(EAX, L.LHCALL_LOAD_GDT_ENTRY) + mov(EBX, ENTRY) + mov(ECX, low) + mov(EDX, high) + CALL


def killed(done: Run) -> dict[str, int]:
    """The registers of its report."""
    assert harmless(done).result.outcome.end is End.KILLED
    return done.result.snapshot.guest


@pytest.mark.nightly("kvm")
@SWITCHERS
@pytest.mark.parametrize("name", SEGMENTS)
def test_a_segment_that_can_no_longer_be_loaded(engine_name: str, name: str, switcher: Switcher) -> None:
    """Its hypercall took the descriptor away, so the return from it faults."""
    code = LOAD + load_entry(DATA) + mov(EAX, SELECTOR) + SEGMENTS[name] + load_entry(UNREADABLE)
    done = run_image(engine_name, image_of("lguest", code), switcher=switcher)
    found = killed(done)
    assert done.result.outcome.reason == f"{GENERAL_PROTECTION} loading {SELECTOR:#x} into the Guest's {name}"
    expected = {**GENERAL, "eax": L.LHCALL_LOAD_GDT_ENTRY, "ebx": ENTRY, "eip": SLOTS + len(code), "cs": L.GUEST_CS}
    expected |= {"ss": L.GUEST_DS, "esp": STACK, name: SELECTOR, "trapnum": 13, "errcode": SELECTOR & ~3}
    expected |= {other: L.GUEST_DS for other in ("ds", "es") if other != name}
    assert {key: found[key] for key in expected} == expected
    assert found["eflags"] & 0x23202 == 0x202


@pytest.mark.nightly("kvm")
@SWITCHERS
def test_a_code_segment_that_can_no_longer_be_returned_to(engine_name: str, switcher: Switcher) -> None:
    far = LOAD + load_entry(CODE) + b"\xea"
    there = SLOTS + len(far) + 6
    code = far + le32(there) + struct.pack("<H", SELECTOR) + mov(EAX, L.GUEST_DS) + SEGMENTS["gs"] + load_entry(DATA)
    done = run_image(engine_name, image_of("lguest", code), switcher=switcher)
    found, eip = killed(done), SLOTS + len(code)
    assert done.result.outcome.reason == f"{GENERAL_PROTECTION} at the return to the Guest at {SELECTOR:#x}:{eip:#x}"
    expected = {**GENERAL, "ecx": 0xFFFF, "eip": eip, "cs": SELECTOR, "ss": L.GUEST_DS, "esp": STACK, "gs": L.GUEST_DS}
    assert {key: found[key] for key in expected} == expected
    assert found["eflags"] & 0x23202 == 0x202


@pytest.mark.nightly("kvm")
@SWITCHERS
def test_virtual_8086_mode(engine_name: str, switcher: Switcher) -> None:
    """QEMU lets ring 1 enter it; what a CPU makes of the flag is its own."""
    low, flags = 0x50000, 0x20202
    selectors = {"es": 0x11, "ds": 0x22, "fs": 0x33, "gs": 0x44, "ss": 0x5500, "esp": 0x8000}
    frame = push(0x44, 0x33, 0x22, 0x11, 0x5500, 0x8000, flags, low >> 4, 4) + b"\xcf"
    done = run_image(
        engine_name, image_of("lguest", LOAD + frame, more={low: bytes(4) + b"\x0f\x0b"}), switcher=switcher
    )
    found, reason = killed(done), done.result.outcome.reason
    if engine_name == "tcg":
        assert reason == "the Guest entered virtual-8086 mode, which ring 1 does not have, at 0x5000:0x4"
        expected = {**GENERAL, **selectors, "cs": low >> 4, "eip": 4}
        assert {key: found[key] for key in expected} == expected


@pytest.mark.nightly("kvm")
@SWITCHERS
@pytest.mark.parametrize("breakpoints", [False, True], ids=["ordinary-return", "by-a-second-frame"])
def test_a_native_kernel_that_removes_its_own_code_segment(
    engine_name: str, breakpoints: bool, switcher: Switcher
) -> None:
    """A CPU would keep it; here the return from the store to the GDT loads it again."""
    watch = mov(EAX, 0x3FF000) + b"\x0f\x23\xc0" + mov(EAX, 0x403) + b"\x0f\x23\xf8"  # dr0, dr7
    far = two_words(GDT + 8 * ENTRY, flat(0x9B)) + (watch if breakpoints else b"") + LOAD + b"\xea"
    there = SLOTS + len(far) + 6
    code = far + le32(there) + struct.pack("<H", ENTRY << 3)
    remove = store(GDT + 8 * ENTRY + 4, 0x00CF1B00)  # not present
    done = run_image(engine_name, image_of("native", code + remove + b"\x90" * 4), switcher=switcher)
    found, reason = killed(done), done.result.outcome.reason
    eip = there + len(remove)
    assert reason == f"fault 11 (error code {SELECTOR & ~3:#x}) at the return to the Guest at {SELECTOR:#x}:{eip:#x}"
    expected = {**GENERAL, "eip": eip, "cs": SELECTOR, "esp": STACK, "trapnum": 11}
    assert {key: found[key] for key in expected} == expected
