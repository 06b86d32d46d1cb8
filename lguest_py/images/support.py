# SPDX-License-Identifier: GPL-2.0-or-later
"""Decide from a kernel's contents whether it is supported, and with which personality it runs.

A Linux with lguest Guest support has the string "lguest" in its data and the LGUEST_INIT hypercall in its code: eax =
1, ebx = lguest_data, then `int $0x1f` (2.6.34 to 4.13) or `vmcall` (up to 2.6.33). From 3.1 on NEW_PGTABLE follows: the
kernel has page tables; up to 3.0 the Host makes them, and its code still has a `vmcall` in one place. A Linux with only
lguest Host support has the string and not the call. For a kernel other than Linux either of the two is enough.

A Linux without Guest support has the native personality, which is trap and emulate.  Before 5.12 Linux enables
interrupts by popf too, which does not trap in ring 1: host_kernel/native/popf.c.

Read next: lguest_py/images/vmcall.py.
Next in the book: lguest_py/launcher/vm_memory.py.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lguest_py.errors import ImageError
from lguest_py.files.cancellation import STEP, point
from lguest_py.images.identify import other_system
from lguest_py.images.image import WANTED, Personality

NAME = b"lguest"
# The first line of the kernel log (linux_banner).  GNU Mach, which has drivers from Linux, has that text as well, but
# not the name of the first task.
BANNER = re.compile(rb"Linux version (\d{1,3}\.\d{1,3}[!-~]{0,64} \([ -'*-?A-~]{0,64}@[ -'*-~]{0,64}\) \([ -~]{0,200})")
FIRST_TASK = b"swapper"
NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
CALL = rb"(?:\xb8%b\0\0\0\xbb....|\xbb....\xb8%b\0\0\0)(?:\xcd\x1f|\x0f\x01\xc1)"  # the two moves in either order
INIT_CALL = re.compile(CALL % (rb"\x01", rb"\x01") + b"(" + CALL % (rb"\x04", rb"\x04") + b")?", re.DOTALL)
PAE_OOPS = b"*pdpt = "  # in the page fault report of a kernel with three-level page tables
CONFIG_START = b"IKCFG_ST"  # CONFIG_IKCONFIG: the gzip-compressed configuration follows
CONFIG_MAX = 4 << 20  # bytes, compressed and uncompressed
GZIP_WBITS = 16 + zlib.MAX_WBITS
OVERLAP = 1024  # bytes: longer than any match

FIRST = (2, 6, 32)  # 2.6.30: lguest_data has no irq_pending, its calls fewer arguments; 2.6.31: never booted
FIRST_TABLES = (3, 1, 0)  # with page tables of its own at its entry, and without vmcall
FIRST_PCI = (4, 0, 0)  # device generation 2
FIRST_WITHOUT = (4, 14, 0)  # lguest was removed from Linux
FIRST_STI_ONLY = (5, 12, 0)  # from here on popf never sets the interrupt flag

Numbers = tuple[int, int, int]


def parse_version(version: str | None) -> Numbers | None:
    """(3, 18, 24) from "3.18.24 (…)"; None without a version."""
    match = NUMBERS.match(version or "")
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def generation(version: str | None) -> int:
    """The generation of lguest's devices: 1, also when unknown, or 2 (virtio over PCI)."""
    return 2 if (parse_version(version) or FIRST) >= FIRST_PCI else 1


def calls_by_vmcall(version: str | None) -> bool:
    """Whether a kernel of this version makes hypercalls by `vmcall`, all of them or one beside `int $0x1f`."""
    return FIRST <= (parse_version(version) or FIRST_TABLES) < FIRST_TABLES


def check_version(version: str | None, name: str) -> None:
    """Raise ImageError when no configuration of this Linux version is supported."""
    if (parse_version(version) or FIRST) < FIRST:
        raise ImageError(f"{name} is Linux {short_version(version)}, which is too old: give {WANTED}")


def pae_by_version(version: str | None) -> bool:
    """Whether a kernel whose payload cannot be inspected has PAE, as far as its version's name tells."""
    return "-pae" in short_version(version)


def personality_by_version(version: str | None) -> Personality:
    """The personality of a kernel whose payload cannot be inspected and whose version is supported."""
    return "native" if (parse_version(version) or FIRST) >= FIRST_WITHOUT else "lguest"


def sets_flag_by_popf(version: str | None) -> bool:
    """Whether a kernel of this version sets its interrupt flag by popf too, not by sti alone."""
    return (parse_version(version) or FIRST_STI_ONLY) < FIRST_STI_ONLY


def short_version(version: str | None) -> str:
    """The version number alone, without the builder and the date."""
    return (version or "").partition(" ")[0]


@dataclass(frozen=True)
class KernelFacts:
    """What a search of a kernel's segments found."""

    version: str | None
    name: bool  # the string "lguest"
    init_call: bool  # the LGUEST_INIT hypercall
    tables: bool  # and NEW_PGTABLE behind it
    pae: bool
    system: str | None = None  # the other system's name, when it is neither Linux nor an lguest Guest


def _configured_with_pae(piece: memoryview, start: int) -> bool:
    packed = piece[start + len(CONFIG_START) : start + len(CONFIG_START) + CONFIG_MAX]
    try:
        config = zlib.decompressobj(GZIP_WBITS).decompress(packed, CONFIG_MAX)
    except zlib.error:
        return False
    return b"\nCONFIG_X86_PAE=y\n" in config


def _windows(piece: memoryview) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of windows over ``piece`` every STEP bytes; each overlaps the next by OVERLAP bytes."""
    for start in range(0, len(piece), STEP):
        point()
        yield start, bytes(piece[start : start + STEP + OVERLAP])


def inspect(pieces: Sequence[bytes | memoryview]) -> KernelFacts:
    """Search a kernel's uncompressed segments."""
    version, name, init_call, tables, pae, first_task = None, False, False, False, False, False
    for some in pieces:
        piece, config = memoryview(some), -1
        for offset, data in _windows(piece):
            banner = BANNER.search(data) if version is None else None
            if banner and banner.start() < STEP:
                version = banner[1].decode("ascii", "replace")
            name = name or NAME in data
            first_task = first_task or FIRST_TASK in data
            call = None if init_call else INIT_CALL.search(data)
            init_call = init_call or call is not None
            tables = tables or (call is not None and call[1] is not None)
            pae = pae or PAE_OOPS in data
            if config < 0 and (position := data.find(CONFIG_START)) >= 0:
                config = offset + position
        pae = pae or (config >= 0 and _configured_with_pae(piece, config))
    version = version if first_task else None
    system = None if version or name or init_call else other_system(pieces)
    return KernelFacts(version, name, init_call, tables, pae, system)


def expects_tables(facts: KernelFacts, version: str | None) -> bool:
    """Whether the Host has to make the kernel's first page tables."""
    return not facts.tables and (parse_version(version) or FIRST_TABLES) < FIRST_TABLES


def personality(facts: KernelFacts, version: str | None, name: str) -> Personality:
    """The kernel's personality.  Raises ImageError when it is not supported.

    ``version`` is the Linux version, from ``facts`` or from a setup header; None: not Linux.
    """
    check_version(version, name)
    marks = (facts.name, facts.init_call)
    lguest = all(marks) if version else any(marks)
    if not lguest and not version:
        raise ImageError(f"{name} is {facts.system or 'no lguest kernel'}, not Linux: give {WANTED}")
    if facts.pae and lguest:
        raise ImageError(f"{name} is built with PAE, which an lguest kernel never is: give {WANTED}")
    return "lguest" if lguest else "native"
