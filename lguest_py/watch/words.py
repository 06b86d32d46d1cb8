# SPDX-License-Identifier: GPL-2.0-or-later
"""What an instruction of the Switcher did, in a few words, where the registers do not show it."""

from __future__ import annotations

import re
from collections.abc import Mapping

ZERO = 0x40
STORE = re.compile(r"movl\s+%(\w+), STATE\((\w+)\)")


def told(code: str, before: Mapping[str, int], after: Mapping[str, int], following: int, pushed: int | None) -> str:
    """``following``: the address behind the instruction; ``pushed``: the word at the new stack pointer."""
    name = code.split()[0] if code else ""
    if name == "jmp":
        return "It jumps."
    if name.startswith("j"):
        return "It jumps." if after["eip"] != following else "It does not jump."
    if name == "call":
        return "It calls the Host kernel; the return address is on the stack."
    if name.startswith("push") and name not in ("pushal", "pushad") and pushed is not None:
        return f"It pushed {pushed:#x}."
    if found := STORE.match(code):
        return f"It wrote {before[found[1]]:#x} to {found[2]} in the state page."
    if name.startswith("cmp"):
        return "They are equal." if after["eflags"] & ZERO else "They differ."
    if name.startswith("test"):
        return "The result is 0." if after["eflags"] & ZERO else "The result is not 0."
    if name == "iret" and after["cs"] & 3:
        return f"The CPU popped eip, cs, eflags, esp and ss, and is in ring {after['cs'] & 3}."
    return ""
