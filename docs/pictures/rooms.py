# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the sources and who may use whom, as data and as a picture: python docs/pictures/rooms.py

A room uses only rooms that stand in a lower row of its tower.  tests/sources/test_architecture.py fails where an
import, an include or a call says otherwise, and where the picture is not as this file draws it.
"""

from __future__ import annotations

from pathlib import Path

from drawing import box, page, text

WIDTH, ROW, BOX = 1180, 62, 50
Rows = tuple[tuple[tuple[str, str], ...], ...]  # from the top: each row has rooms, with what each is for

# Rooms of lguest_py; a name without a folder is a module at the top.
LAUNCHER: Rows = (
    (("running", "verbs for running Guests"),),
    (("cli", "one file a verb"),),
    (("bench", "measures"), ("trace", "shown"), ("watch", "a switch"), ("doctor", "tries"), ("pytest_plugin", "")),
    (("measurements", "rows as data"), ("machine", "the library"), ("control", "a Guest's socket")),
    (("gdb", "its remote protocol"),),
    (("launcher", "runs a Guest"),),
    (("postmortem", "what memory tells of its end"),),
    (
        ("devices", "virtio"),
        ("images", "kernels read"),
        ("kernels", "fetched"),
        ("version", ""),
    ),
    (("disks", "files"), ("networks", "tap, passt"), ("share", "9P server"), ("saved", "Guests as files")),
    (("engines", "KVM or TCG"), ("console", "terminal"), ("hardware", "as data")),
    (("shared_memory", "layouts"), ("files", "in, out, cache"), ("kvm", "the binding")),
    (("errors", "what a user can meet"), ("sandbox", "Landlock, seccomp")),
)

# Rooms of host_kernel, and the Switcher.
HOST: Rows = (
    (("bench", "in place of run"), ("profile", "around run")),
    (("core", "start, run loop"),),
    (("lguest", "personality"), ("native", "personality"), ("switcher", "world switch")),
    (("native/pc", "APICs, PIT, UART"), ("pci", "functions, BARs"), ("debugger", "for gdb")),
    (("instruction", "decoder"),),
    (("memory", "shadow paging"),),
    (("machine", "APIC, clock, mailbox"),),
    (("base", "the Guest, its ends"),),
    (("switcher/layouts", "shared with Python"),),
)

# Rooms of guest_kernel.
GUEST: Rows = (
    (("main", "start, shell, commands"),),
    (("tests", "from the inside"), ("bench", "")),
    (("faults", "programs that misbehave"),),
    (("traps", "system calls"), ("user", "programs")),
    (("network", "ARP, ping"), ("share", "9P")),
    (("console", "virtio"), ("drivers", "virtio devices")),
    (("bus", "device page or PCI"),),
    (("tasks", "scheduler"),),
    (("memory", "page tables"),),
    (("cpu", "segments, gates, FPU"),),
    (("base", "text, layout"),),
)

TOWERS: tuple[tuple[str, str, int, int, Rows], ...] = (
    ("lguest_py/: the Launcher", "#e8ddf0", 10, 520, LAUNCHER),
    ("host_kernel/, switcher/: ring 0", "#f6d5cf", 550, 360, HOST),
    ("guest_kernel/: rings 1 and 3", "#fbeecb", 930, 240, GUEST),
)


def ranks(rows: Rows) -> dict[str, int]:
    """Each room's row; a room may use those whose number is larger."""
    return {name: number for number, row in enumerate(rows) for name, _ in row}


def draw() -> str:
    """The picture."""
    most = max(len(rows) for *_, rows in TOWERS)
    parts = []
    for title, colour, left, width, rows in TOWERS:
        parts.append(text(left, 24, title, 15, "bold"))
        for number, row in enumerate(rows):
            each = (width - 8 * (len(row) - 1)) // len(row)
            for place, (name, purpose) in enumerate(row):
                at, top = left + place * (each + 8), 38 + (most - len(rows) + number) * ROW
                parts += [
                    box(at, top, each, BOX, colour),
                    text(at + each // 2, top + (21 if purpose else 30), name, 13, "bold", "middle"),
                    text(at + each // 2, top + 39, purpose, 11, anchor="middle"),
                ]
    return page(WIDTH, 44 + most * ROW, "The rooms; each uses only rooms in rows below its own", "rooms.py", parts)


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw())
