# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of the report on places in memory: code, stacks, page tables, the Host kernel's registers.

Read next: lguest_py/postmortem/postmortem.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from lguest_py.postmortem.backtrace import Frame
from lguest_py.postmortem.code import Code
from lguest_py.postmortem.postmortem import AddressWalk, Postmortem
from lguest_py.postmortem.walk import Walk
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Snapshot

SHOWN_FRAMES = 12
BYTES_BEFORE, BYTES_AFTER = 16, 16  # of code that is not disassembled


def printable_text(text: str) -> str:
    """``text`` without what would control a terminal; lines stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text.replace("\r\n", "\n"))


def hex_line(code: Code) -> str:
    """Some bytes of code, those from its address on behind an angle bracket."""
    at = code.address - code.start
    before, after = code.data[max(at - BYTES_BEFORE, 0) : at], code.data[at : at + BYTES_AFTER]
    return " ".join([*(f"{each:02x}" for each in before), f"<{after[0]:02x}>", *(f"{each:02x}" for each in after[1:])])


def code_lines(found: Postmortem) -> Iterator[str]:
    """The instruction at eip and its neighbours."""
    code = found.code
    if not code:
        if found.registers:
            yield f"code: nothing is mapped at {found.registers['eip']:08x}"
        return
    if not code.instructions:
        yield f"code: {hex_line(code)}"
        return
    yield "code:"
    for each in code.instructions:
        mark = "=>" if each.address == code.address else "  "
        yield f"  {mark} {each.address:08x}  {each.data.hex(' '):<24}  {each.text}".rstrip()


def _frame(frame: Frame) -> str:
    guess = "  (found on the stack)" if frame.found == "stack" else ""
    return f"  {frame.address:08x}  {frame.symbol or '?'}{guess}"


def backtrace_lines(found: Postmortem, most: int = SHOWN_FRAMES) -> Iterator[str]:
    """Who called whom."""
    frames = found.backtrace
    if len(frames) < 2 and not any(frame.symbol for frame in frames):
        return
    yield "backtrace:"
    yield from map(_frame, frames[:most])
    if len(frames) > most:
        yield f"  and {len(frames) - most} more"


def _rights(walk: Walk) -> str:
    words = ["writable" if walk.writable else "read-only", "user" if walk.user else "kernel"]
    words += [] if walk.executable else ["not executable"]
    return ", ".join(words) + (f", page of {walk.page >> 10} KiB" if walk.page != 4096 else "")


def _walk(title: str, walk: Walk, offset: int = 0) -> Iterator[str]:
    """``offset``: VM-physical less Guest-physical, for a walk that is VM-physical."""
    yield f"  {title}:"
    for level in walk.levels:
        yield f"    {level.table} entry at {level.at:08x}: {level.entry:08x}"
    if walk.physical is None:
        yield f"    {walk.why}"
    elif not offset:
        yield f"    physical {walk.physical:08x} ({_rights(walk)})"
    elif walk.physical >= offset:
        yield f"    VM-physical {walk.physical:08x}, the Guest's {walk.physical - offset:08x} ({_rights(walk)})"
    else:
        yield f"    VM-physical {walk.physical:08x}, not the Guest's memory ({_rights(walk)})"


def _both(each: AddressWalk, guest_base: int) -> Iterator[str]:
    yield f"page tables for {each.what} {each.guest.address:08x}:"
    yield from _walk("the Guest's (Guest-physical)" if each.guest.levels else "the Guest's", each.guest)
    if each.shadow:
        yield from _walk("shadow (VM-physical)", each.shadow, guest_base)


def walk_lines(found: Postmortem) -> Iterator[str]:
    """The page tables for the address that the Guest died of; else for eip, if its code cannot be read."""
    for each in found.walks:
        if each.what == "cr2" or (each.what == "eip" and each.guest.physical is None):
            yield from _both(each, found.guest_base)


def host_lines(shot: Snapshot, found: Postmortem | None) -> Iterator[str]:
    """Where the Host kernel ended the run."""
    controls = "  ".join(f"{name} {value:08x}" for name, value in shot.host_controls.items())
    yield f"Host kernel at {shot.host_eip:08x}, shadow directory {shot.shadow_directory:08x} (VM-physical)"
    if controls:
        yield f"  {controls}  esp {shot.host.get('esp', 0):08x}"
    if shot.end_kind == L.END_INTERNAL and any(shot.host.get(name) for name in ("eax", "ebp", "trapnum")):
        for names in (("eax", "ebx", "ecx", "edx"), ("esi", "edi", "ebp", "eip")):
            yield "  " + "  ".join(f"{name} {shot.host[name]:08x}" for name in names)
    frames = found.host_backtrace if found else ()
    yield from map(_frame, frames[:SHOWN_FRAMES])
