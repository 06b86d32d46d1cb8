# SPDX-License-Identifier: GPL-2.0-or-later
"""The lives of a page fault, a hypercall, a notify, a byte on the console, as pictures: python docs/pictures/lives.py

Each step is an arrow from who acts to who acts next, with the file where the reader finds it.
"""

from __future__ import annotations

from pathlib import Path

from drawing import arrow, box, line, page, text

LANES = (
    ("program", "ring 3", "#dcebdc"),
    ("Guest kernel", "ring 1", "#fbeecb"),
    ("Switcher", "ring 0, both tables", "#d9d9d9"),
    ("Host kernel", "ring 0", "#f6d5cf"),
    ("Launcher", "Python", "#e8ddf0"),
)
PROGRAM, GUEST, SWITCHER, HOST, LAUNCHER = range(5)
WIDTH, LANE, TOP, STEP = 1000, 200, 84, 54

Step = tuple[int, int, str, str]  # from, to (the same: it acts alone), what, where
LIVES: dict[str, tuple[str, tuple[Step, ...]]] = {
    "page-fault": (
        "The life of a page fault (lguest personality, lean Switcher)",
        (
            (PROGRAM, SWITCHER, "#PF, by the IDT that the CPU uses", "switcher/lean.S: page_fault"),
            (SWITCHER, SWITCHER, "not in the Guest's own tables either?", "switcher/reflect.h"),
            (SWITCHER, GUEST, "fast path: reflected, no world switch", "to its handler"),
            (SWITCHER, HOST, "else a world switch: CR3 and stack", "core/run.c, lguest/traps.c"),
            (HOST, HOST, "walk the Guest's tables", "memory/walk.c"),
            (HOST, HOST, "allowed: fill the shadow page table", "memory/fault.c, directories.c"),
            (HOST, PROGRAM, "retry the instruction", "core/run.c, switcher/lean.S"),
            (HOST, GUEST, "not allowed: push the frame, reflect", "lguest/inject.c"),
            (GUEST, SWITCHER, "it maps a page: hypercall SET_PTE", "the next picture"),
        ),
    ),
    "hypercall": (
        "The life of a hypercall",
        (
            (GUEST, SWITCHER, "int 0x1f, number in eax", "gate of DPL 1"),
            (SWITCHER, GUEST, "fast path: nothing to do", "switcher/lean.S: hypercall"),
            (SWITCHER, HOST, "else a world switch", "core/run.c"),
            (HOST, HOST, "do what is in the asynchronous ring", "lguest/hypercalls.c"),
            (HOST, HOST, "then the call: SET_PTE looks at the entry", "memory/page_tables.c"),
            (HOST, LAUNCHER, "NOTIFY only: doorbell", "machine/mailbox.c"),
            (HOST, HOST, "inject a pending interrupt", "lguest/interrupts.c"),
            (HOST, HOST, "sanitize the frame", "core/run.c"),
            (HOST, SWITCHER, "enter", "switcher/lean.S"),
            (SWITCHER, GUEST, "iret to ring 1, behind the int", ""),
        ),
    ),
    "notify": (
        "The life of a notify (a virtio device on PCI)",
        (
            (GUEST, SWITCHER, "a store to the BAR's doorbell: #PF", "the page is never mapped"),
            (SWITCHER, HOST, "a world switch", "core/run.c"),
            (HOST, HOST, "the page tables lead to a BAR", "memory/fault.c"),
            (HOST, HOST, "decode, and write the register", "pci/mmio.c, pci/registers.c"),
            (HOST, LAUNCHER, "a NOTIFY record, and the doorbell", "machine/mailbox.c"),
            (HOST, GUEST, "behind the store; it halts", "core/run.c"),
            (LAUNCHER, LAUNCHER, "the queue's requests", "devices/virtqueue.py"),
            (HOST, HOST, "halted: look for the answer a while", "machine/mailbox.c"),
            (LAUNCHER, HOST, "counts an interrupt; sends one if no one looks", "launcher/vm.py"),
            (HOST, HOST, "a bit of the ISR, the line is high", "pci/functions.c"),
            (HOST, GUEST, "inject it", "lguest/interrupts.c, native/inject.c"),
            (GUEST, HOST, "reads the ISR: the line is low", "pci/registers.c"),
        ),
    ),
    "console-byte": (
        "The life of a byte on the console",
        (
            (PROGRAM, GUEST, "write(): int 0x80, direct", "the Guest's tty"),
            (GUEST, SWITCHER, "native: out to port 0x3F8, #GP", "switcher/fast_paths.h"),
            (SWITCHER, HOST, "a world switch", "core/run.c"),
            (HOST, HOST, "decode, emulate, 16550", "native/emulate.c, pc/uart.c"),
            (HOST, HOST, "into the mailbox's text ring", "machine/mailbox.c"),
            (GUEST, HOST, "lguest: NOTIFY of the virtqueue", "lguest/hypercalls.c"),
            (HOST, LAUNCHER, "doorbell, once for many bytes", "machine/mailbox.c"),
            (LAUNCHER, LAUNCHER, "text ring, or the queue's buffers", "launcher/vm.py, devices/console.py"),
            (LAUNCHER, LAUNCHER, "to the terminal", "console/streams.py"),
            (LAUNCHER, HOST, "used buffers: an interrupt", "devices/page_bus.py"),
            (HOST, GUEST, "inject it", "lguest/interrupts.c"),
        ),
    ),
}


def middle(lane: int) -> int:
    """Where a lane's line is."""
    return lane * LANE + LANE // 2


def step(number: int, start: int, end: int, what: str, where: str) -> list[str]:
    """One step: an arrow, or a small box where one acts alone."""
    top = TOP + 34 + number * STEP
    first, last = sorted((start, end))
    centre = (middle(first) + middle(last)) // 2
    if start == end:
        drawn = [box(centre - 7, top - 8, 14, 14, LANES[start][2])]
    else:
        drawn = [arrow(middle(start), top, middle(end), top)]
    words = f"{number + 1}. {what}"
    return [
        *drawn,
        text(centre, top - 12, words, 12, "bold", "middle"),
        text(centre, top + 20 if start == end else top + 15, where, 11, anchor="middle"),
    ]


def draw(name: str) -> str:
    """One picture."""
    title, steps = LIVES[name]
    height = TOP + 34 + len(steps) * STEP
    parts = [text(WIDTH // 2, 24, title, 16, "bold", "middle")]
    for lane, (who, ring, colour) in enumerate(LANES):
        parts += [
            line(middle(lane), TOP - 6, middle(lane), height - 10),
            box(lane * LANE + 20, 36, LANE - 40, 42, colour),
            text(middle(lane), 54, who, 14, "bold", "middle"),
            text(middle(lane), 71, ring, 11, anchor="middle"),
        ]
    for number, each in enumerate(steps):
        parts += step(number, *each)
    return page(WIDTH, height, title, "lives.py", parts)


if __name__ == "__main__":
    for each in LIVES:
        (Path(__file__).parent / f"life-{each}.svg").write_text(draw(each))
