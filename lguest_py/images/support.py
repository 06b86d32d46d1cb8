# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell, before it runs, whether a kernel is one that our Host kernel can serve, and with which personality.

An lguest Guest has to call its Host.  Every lguest Linux names "lguest" in its data and holds the call that begins
everything: eax = 1 (LGUEST_INIT), ebx = lguest_data, then `int $0x1f` (Linux 2.6.35 to 4.13) or `vmcall` (2.6.30
to 2.6.34).  One with only the Host half of lguest has the name and not the call.  Of what is no Linux, one of
the two is enough.

A Linux without that is run as it is, by trap and emulate.  That needs a kernel which turns interrupts on by sti alone:
popf does not trap, and does nothing to IF in ring 1.  Linux does so since 5.12.

Read next: lguest_py/images/vmcall.py.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from lguest_py.errors import ImageError
from lguest_py.images.image import WANTED, Personality

NAME = b"lguest"
BANNER = re.compile(rb"Linux version (\d+\.\d+[ -~]{0,200})")
NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
INIT_CALL = re.compile(  # the two moves in either order
    rb"(?:\xb8\x01\0\0\0\xbb....|\xbb....\xb8\x01\0\0\0)(?:\xcd\x1f|\x0f\x01\xc1)", re.DOTALL
)
PAE_OOPS = b"*pdpt = "  # what a page fault's report begins with, where directories have three levels
CONFIG_START = b"IKCFG_ST"  # CONFIG_IKCONFIG: the gzipped configuration follows
CONFIG_MOST = 4 << 20

FIRST = (2, 6, 30)  # the hypercall convention is another before
FIRST_INT = (2, 6, 35)
FIRST_PCI = (4, 0, 0)  # device generation 2
FIRST_WITHOUT = (4, 14, 0)
FIRST_NATIVE = (5, 12, 0)
NO_PAE = "of Debian's, linux-image-…-686 instead of …-686-pae"

Numbers = tuple[int, int, int]


def numbers(version: str | None) -> Numbers | None:
    """(3, 18, 24) from "3.18.24 (…)"; None when there is no version."""
    match = NUMBERS.match(version or "")
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def generation(version: str | None) -> int:
    """The generation of lguest's devices: 1 or 2; 1 when unknown."""
    return 2 if (numbers(version) or FIRST) >= FIRST_PCI else 1


def calls_by_vmcall(version: str | None) -> bool:
    """Whether a kernel of this version calls its Host by `vmcall` instead of `int $0x1f`."""
    return FIRST <= (numbers(version) or FIRST_INT) < FIRST_INT


def check_version(version: str | None, name: str) -> None:
    """Raise ImageError when no Linux of this version can be served, however it was configured."""
    found = numbers(version)
    if found and not FIRST <= found < FIRST_WITHOUT and found < FIRST_NATIVE:
        raise ImageError(
            f"{name} is Linux {version_word(version)}, which has no lguest we can serve and is too old to do without: "
            f"give {WANTED}"
        )
    if "-pae" in version_word(version):
        _refuse_pae(name)


def _refuse_pae(name: str) -> NoReturn:
    raise ImageError(f"{name} is built with PAE, which the Host does not offer: give {WANTED} ({NO_PAE})")


def personality_by_version(version: str | None) -> Personality:
    """The personality of a kernel that cannot be looked into and whose version was found right."""
    return "native" if (numbers(version) or FIRST) >= FIRST_NATIVE else "lguest"


def version_word(version: str | None) -> str:
    """The version without who built it and when."""
    return (version or "").partition(" ")[0]


@dataclass(frozen=True)
class Facts:
    """What was found in a kernel's memory."""

    version: str | None
    name: bool
    init_call: bool
    pae: bool


def _configured_with_pae(data: bytes | memoryview) -> bool:
    contents = bytes(data)
    start = contents.find(CONFIG_START)
    if start < 0:
        return False
    try:
        config = zlib.decompressobj(31).decompress(contents[start + len(CONFIG_START) :], CONFIG_MOST)
    except zlib.error:
        return False
    return b"\nCONFIG_X86_PAE=y\n" in config


def inspect(pieces: Iterable[bytes | memoryview]) -> Facts:
    """Look through a kernel's unpacked segments."""
    version, name, init_call, pae = None, False, False, False
    for piece in pieces:
        data = bytes(piece)
        banner = BANNER.search(data)
        version = version or (banner[1].decode("ascii") if banner else None)
        name = name or NAME in data
        init_call = init_call or INIT_CALL.search(data) is not None
        pae = pae or PAE_OOPS in data or _configured_with_pae(data)
    return Facts(version, name, init_call, pae)


def personality(facts: Facts, version: str | None, name: str) -> Personality:
    """How to run the kernel.  Raises ImageError when our Host kernel cannot serve it.

    ``version`` is the Linux version, from wherever it is known; None: not a Linux.
    """
    check_version(version, name)
    marks = (facts.name, facts.init_call)
    lguest = all(marks) if version else any(marks)
    if not lguest and not version:
        raise ImageError(f"{name} is no lguest kernel and no Linux: give {WANTED}")
    if not lguest and (numbers(version) or FIRST) < FIRST_NATIVE:
        raise ImageError(
            f"{name} is Linux {version_word(version)} built without lguest support, and too old to do without: "
            f"give {WANTED}"
        )
    if facts.pae:
        _refuse_pae(name)
    return "lguest" if lguest else "native"
