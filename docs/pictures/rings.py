# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw docs/pictures/rings.svg, the README's picture of the rings: python docs/pictures/rings.py

A box is what runs, an arrow is a way from one to another.  tests/sources/test_docs.py sees to it that the picture is as
this file draws it.
"""

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, page, text

WIDTH, HEIGHT = 760, 560
VM_LEFT, VM_WIDTH = 250, 490

# Top, height, colour, name, what it is, where it is found.
LAYERS = (
    (50, 80, "#dcebdc", "ring 3", "Guest programs", "a Linux userland, or the tiny Guest's tasks"),
    (140, 90, "#fbeecb", "ring 1", "Guest kernel", "a 32-bit Linux, or guest_kernel/"),
    (240, 46, "#d9d9d9", "", "the Switcher, at 0xFFC00000", "switcher/: mapped alike in both worlds"),
    (296, 90, "#f6d5cf", "ring 0", "Host kernel", "host_kernel/: shadow page tables, traps, interrupts, clock"),
)


def layer(top: int, height: int, colour: str, ring: str, name: str, where: str) -> list[str]:
    """One layer of the VM."""
    middle = top + height // 2
    return [
        box(VM_LEFT + 12, top, VM_WIDTH - 24, height, colour),
        text(VM_LEFT + 26, middle + 5, ring, 16, "bold"),
        text(VM_LEFT + 96, middle - 4, name, 15, "bold"),
        text(VM_LEFT + 96, middle + 15, where, 12),
    ]


def draw() -> str:
    """The picture."""
    parts = [
        box(VM_LEFT, 14, VM_WIDTH, 386, "#f4f4f4"),
        text(VM_LEFT + 12, 36, "the virtual machine: one 32-bit processor", 13),
    ]
    for each in LAYERS:
        parts += layer(*each)
    parts += [
        arrow(VM_LEFT + 430, 118, VM_LEFT + 430, 150),  # a system call
        text(VM_LEFT + 300, 122, "a system call", 12),
        arrow(VM_LEFT + 430, 222, VM_LEFT + 430, 304),  # a trap or hypercall, and back
        arrow(VM_LEFT + 450, 304, VM_LEFT + 450, 222),
        text(VM_LEFT + 300, 218, "a world switch", 12),
        box(VM_LEFT, 414, 238, 60, "#e2e6f3"),
        text(VM_LEFT + 14, 439, "KVM", 15, "bold"),
        text(VM_LEFT + 14, 459, "this machine's own processor", 12),
        box(VM_LEFT + 252, 414, 238, 60, "#e2e6f3"),
        text(VM_LEFT + 266, 439, "or QEMU", 15, "bold"),
        text(VM_LEFT + 266, 459, "a processor emulated (TCG)", 12),
        box(14, 296, 200, 178, "#e8ddf0"),
        text(28, 322, "the Launcher", 15, "bold"),
        text(28, 342, "lguest_py/, in Python", 12),
        text(28, 366, "reads the kernel's image", 12),
        text(28, 384, "is the Guest's devices", 12),
        text(28, 402, "keeps the time limit", 12),
        text(28, 420, "tells how it ended", 12),
        arrow(VM_LEFT, 326, 214, 326),
        text(24, 282, "and shared memory", 12),
        text(24, 266, "a doorbell out, an interrupt in,", 12),
        arrow(214, 346, VM_LEFT, 346),
        box(14, 488, 726, 58, "#eeeeee"),
        text(28, 513, "a Linux machine", 15, "bold"),
        text(28, 533, "any that has Python 3.11 and either a KVM that works or QEMU", 12),
    ]
    title = "A Guest in ring 1, the Host kernel in ring 0, and the Launcher outside of the VM"
    return page(WIDTH, HEIGHT, title, "rings.py", parts)


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw())
