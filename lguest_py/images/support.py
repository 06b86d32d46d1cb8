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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from lguest_py.errors import ImageError
from lguest_py.files.cancellation import STEP, point
from lguest_py.images.identify import name_of
from lguest_py.images.image import WANTED, Personality

NAME = b"lguest"
# What a Linux begins its log with.  Other kernels that took drivers from it have that text as well (GNU Mach), but not
# the name of Linux's first task.
BANNER = re.compile(rb"Linux version (\d{1,3}\.\d{1,3}[!-~]{0,64} \([ -'*-?A-~]{0,64}@[ -'*-~]{0,64}\) \([ -~]{0,200})")
FIRST_TASK = b"swapper"
NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
INIT_CALL = re.compile(  # the two moves in either order
    rb"(?:\xb8\x01\0\0\0\xbb....|\xbb....\xb8\x01\0\0\0)(?:\xcd\x1f|\x0f\x01\xc1)", re.DOTALL
)
PAE_OOPS = b"*pdpt = "  # what a page fault's report begins with, where directories have three levels
CONFIG_START = b"IKCFG_ST"  # CONFIG_IKCONFIG: the gzipped configuration follows
CONFIG_MOST = 4 << 20
OVERLAP = 1024  # bytes: longer than anything that is sought

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
    system: str | None = None  # whose kernel it is, when it is neither a Linux nor an lguest Guest


def _configured_with_pae(piece: memoryview, start: int) -> bool:
    packed = piece[start + len(CONFIG_START) : start + len(CONFIG_START) + CONFIG_MOST]
    try:
        config = zlib.decompressobj(31).decompress(packed, CONFIG_MOST)
    except zlib.error:
        return False
    return b"\nCONFIG_X86_PAE=y\n" in config


def _windows(piece: memoryview) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of steps through a piece, each a little longer than to where the next begins."""
    for start in range(0, len(piece), STEP):
        point()
        yield start, bytes(piece[start : start + STEP + OVERLAP])


def inspect(pieces: Sequence[bytes | memoryview]) -> Facts:
    """Look through a kernel's unpacked segments."""
    version, name, init_call, pae, first_task = None, False, False, False, False
    for some in pieces:
        piece, config = memoryview(some), -1
        for offset, data in _windows(piece):
            banner = BANNER.search(data) if version is None else None
            if banner and banner.start() < STEP:
                version = banner[1].decode("ascii", "replace")
            name = name or NAME in data
            first_task = first_task or FIRST_TASK in data
            init_call = init_call or INIT_CALL.search(data) is not None
            pae = pae or PAE_OOPS in data
            if config < 0 and (found := data.find(CONFIG_START)) >= 0:
                config = offset + found
        pae = pae or (config >= 0 and _configured_with_pae(piece, config))
    version = version if first_task else None
    system = None if version or name or init_call else name_of(pieces)
    return Facts(version, name, init_call, pae, system)


def personality(facts: Facts, version: str | None, name: str) -> Personality:
    """How to run the kernel.  Raises ImageError when our Host kernel cannot serve it.

    ``version`` is the Linux version, from wherever it is known; None: not a Linux.
    """
    check_version(version, name)
    marks = (facts.name, facts.init_call)
    lguest = all(marks) if version else any(marks)
    if not lguest and not version:
        raise ImageError(f"{name} is {facts.system or 'no lguest kernel'} and no Linux: give {WANTED}")
    if not lguest and (numbers(version) or FIRST) < FIRST_NATIVE:
        raise ImageError(
            f"{name} is Linux {version_word(version)} built without lguest support, and too old to do without: "
            f"give {WANTED}"
        )
    if facts.pae:
        _refuse_pae(name)
    return "lguest" if lguest else "native"
