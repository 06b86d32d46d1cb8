# SPDX-License-Identifier: GPL-2.0-or-later
"""Records of world switches for tests."""

from __future__ import annotations

from functools import cache

from lguest_py.launcher.launcher import prepare
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.watch.causes import find
from lguest_py.watch.machine import record
from lguest_py.watch.record import Record

SECONDS = 200.0


def recorded(
    engine: str,
    on: str,
    switcher: Switcher,
    image: str | None = None,
    line: str = "",
    ring: int | None = None,
    initrd: str | None = None,
) -> Record:
    """A new one."""
    settings, _ = prepare(image, engine, command_line=line, switcher=switcher, initrd=initrd)
    return record(settings, engine, find(on), ring=ring, seconds=SECONDS, image=image or "the tiny Guest")


@cache
def both() -> tuple[Record, Record]:
    """A SET_PTE with each Switcher, on tcg."""
    return recorded("tcg", "SET_PTE", "classic"), recorded("tcg", "SET_PTE", "lean")
