# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare shadow page tables with what the Guest's own tables allow, from outside, in the machine's memory.

After a flush the current shadow may allow nothing that the Guest's tables do not; at any time no shadow may let a
write-protected frame be written.  What is known of paging here is from the Intel SDM vol. 3, 4.3 to 4.6.
Read before: shadow_model.py, which checks the books of all shadow tables.
"""

from __future__ import annotations

import struct

from hostile_lab import LOW, NX_BIT, RW, P, form, leads_to, symbols, word
from shadow_model import Shadow, layouts

from lguest_py.launcher.vm_memory import PAGE
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

US, A, D, PS = 4, 0x20, 0x40, 0x80
KEPT = RW | US | NX_BIT


def protected(memory: memoryview, pae: bool) -> list[int]:
    """The frames (of the Guest) that no shadow entry may let be written."""
    at = symbols(pae)
    count = word(memory, at["write_protected_count"])
    return list(struct.unpack_from(f"<{count}I", memory, at["write_protected"]))


def writable_though_protected(memory: memoryview, shadow: Shadow, guest: range, pae: bool) -> list[str]:
    """In all shadow tables."""
    frames = {guest.start + frame * PAGE for frame in protected(memory, pae)}
    if not frames:
        return []
    return [
        f"table {page.frame:#x} entry {index:#x} is {entry:#x}: the frame is write-protected"
        for number, page in shadow.pages.items()
        if number not in shadow.directories
        for index, entry in enumerate(page.entries)
        if entry & P and entry & RW and entry & LOW in frames
    ]


def both(upper: int, lower: int) -> int:
    """What the entries of both levels allow together."""
    return upper & lower & (RW | US) | (upper | lower) & NX_BIT


def _more(shadow: int, guest: int, nx: bool) -> int:
    """What a shadow entry allows and the Guest's does not."""
    return shadow & ~guest & (RW | US) | (guest & ~shadow & NX_BIT if nx else 0)


class Tables:
    """The Guest's, in the machine's memory."""

    def __init__(self, memory: memoryview, guest: range, pae: bool) -> None:
        self.memory, self.guest, self.has = memory, guest, form(pae)

    def page(self, address: int) -> tuple[int, ...] | None:
        """All entries of the page at this Guest-physical address; None: that is no memory."""
        if address & ~0xFFF not in range(len(self.guest)):
            return None
        return self.has.table(self.memory, self.guest.start + (address & ~0xFFF))


def too_much(memory: memoryview, shadow: Shadow, guest: range, pae: bool) -> list[str]:
    """What the current shadow allows and the Guest's tables do not.  They were flushed, and not changed since."""
    at, has, tables = symbols(pae), form(pae), Tables(memory, guest, pae)
    state = View(memory, at["state_page"], L.LGUEST_STATE)
    pool = word(memory, at["pool"])
    cr3 = _current(memory, shadow, pae)
    if cr3 is None:
        return []
    links = has.directory(memory, state["guest_cr3"])[: has.switcher]
    if pae:
        pointers = struct.unpack_from("<4Q", memory, guest.start + cr3)
        pages = [tables.page(each) if each & P else None for each in pointers]
        own = tuple(entry for each in pages for entry in (each or (0,) * has.entries))
    else:
        own = tables.page(cr3) or ()
    nx, wrong = pae, []
    write_protect = memory[at["guest"] + layouts(pae)["guest"][1]["write_protect"]]
    for upper, link in enumerate(links):
        if not link & P:
            continue
        pde = own[upper]
        if not pde & P:
            wrong.append(f"directory entry {upper:#x} is {link:#x}, and the Guest's {pde:#x}")
            continue
        large = bool(pde & PS)
        below = None if large else tables.page(pde & LOW)
        known = shadow.pages[((link & LOW) - pool) // PAGE]
        for index, entry in enumerate(known.entries):
            if not entry & P:
                continue
            if large:
                pte = (pde & ~((1 << has.shift) - 1) & ~NX_BIT) + index * PAGE | pde & (KEPT | P | A | D)
            else:
                pte = below[index] if below else 0
            allowed = both(pde, pte & ~(0 if pte & D else RW))
            if not write_protect and not (entry & link) & US:
                allowed |= RW  # CR0.WP is clear, and the entry is not for ring 3
            frame = pte & ~NX_BIT & ~0xFFF
            right = entry & ~NX_BIT & ~0xFFF == (guest.start + frame if frame < len(guest) else at["absent_page"])
            if (
                not pte & P
                or not right
                or _more(both(link, entry), allowed, nx)
                or (entry & RW and not leads_to(entry, guest))
            ):
                wrong.append(
                    f"{upper << has.shift | index << 12:#x} is mapped by {entry:#x}, and the Guest's is {pte:#x}"
                )
    return wrong


def _current(memory: memoryview, shadow: Shadow, pae: bool) -> int | None:
    """The Guest-physical address of its current page directory, or PDPT; None: it has none yet."""
    at = symbols(pae)
    directory = View(memory, at["state_page"], L.LGUEST_STATE)["guest_cr3"]
    if pae:
        (first,) = struct.unpack_from("<Q", memory, directory)
        directory = first & LOW
    page = (directory - word(memory, at["pool"])) // PAGE
    found = shadow.directories.get(page)
    return found[0] if found and found[0] & 0x1F == 0 and found[0] < 0xFFFFF000 else None
