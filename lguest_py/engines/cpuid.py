# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPUID of the VM: an allow-list of features, the same on both engines.

A Guest's kernel can mask CPUID for itself, but its programs execute the real instruction in ring 3.  So the list leaves
out what does not work in rings 1 and 3 and state that the Host kernel does not switch: sysenter (SEP enters ring 0),
PSE36 (a Guest has no memory from 4 GiB on), XSAVE and features that need it (the Host kernel switches FXSAVE
state), MSRs, MTRR, PAT and machine checks (ring 0 only), VME (no virtual-8086 mode), and the leaves for caches,
topology, power and hypervisors.  Vendor and model are fixed, because a stock kernel reads the MSRs of the model that
CPUID names.

Source: Intel SDM vol. 2A, CPUID.  Read next: kvm.py and tcg.py, which use it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from lguest_py.kvm import CpuidEntry


@dataclass(frozen=True)
class Feature:
    """One bit of leaf 1: its register, its number, QEMU's name for it, and why it is allowed."""

    register: Literal["ecx", "edx"]
    bit: int
    qemu: str
    why: str


FEATURES: Final = (
    Feature("edx", 0, "fpu", "floating point; the Host kernel switches its state"),
    Feature("edx", 2, "de", "the Host kernel gives the Guest the debug registers, and emulates CR4.DE"),
    Feature("edx", 3, "pse", "the Host kernel maps itself with 4 MiB pages; a Guest's large pages become small ones"),
    Feature("edx", 4, "tsc", "rdtsc works in every ring, and is the Guest's clock"),
    Feature("edx", 6, "pae", "the Host kernel comes in a form whose own and shadow page tables are those of PAE"),
    Feature("edx", 8, "cx8", "cmpxchg8b is an ordinary instruction"),
    Feature("edx", 9, "apic", "the Host kernel's timer; an unmodified Guest has an emulated one"),
    Feature("edx", 13, "pge", "tells the Host kernel which of a Guest's mappings a load of CR3 leaves alone"),
    Feature("edx", 15, "cmov", "an ordinary instruction"),
    Feature("edx", 23, "mmx", "part of the floating-point state"),
    Feature("edx", 24, "fxsr", "how the floating-point state is saved"),
    Feature("edx", 25, "sse", "part of what FXSAVE saves"),
    Feature("edx", 26, "sse2", "part of what FXSAVE saves"),
    Feature("ecx", 0, "pni", "SSE3: new instructions on the same state"),
    Feature("ecx", 9, "ssse3", "new instructions on the same state"),
    Feature("ecx", 19, "sse4.1", "new instructions on the same state"),
    Feature("ecx", 20, "sse4.2", "new instructions on the same state"),
    Feature("ecx", 23, "popcnt", "an ordinary instruction"),
)

ALLOWED: Final = {
    register: sum(1 << feature.bit for feature in FEATURES if feature.register == register)
    for register in ("ecx", "edx")
}
VENDOR: Final = b"GenuineIntel"
SIGNATURE: Final = 0x663  # family 6, model 6, stepping 3, as QEMU's qemu32
LAST_BASIC: Final = 7
# leaf 7, ecx: sgdt, sidt, sldt and str fault outside ring 0, so a Guest cannot read the Host's tables
UMIP: Final = 1 << 2
# leaf 0x80000001, edx: shadow entries carry the bit, and the Host kernel turns on EFER.NXE for itself; PAE alone has it
NX: Final = 1 << 20
LAST_EXTENDED: Final = 0x80000004  # the brand string's last part
LEAVES: Final = (0, 1, 7, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000004)


MELTDOWN: Final = Path("/sys/devices/system/cpu/vulnerabilities/meltdown")


@functools.cache
def has_meltdown(engine: str) -> bool:
    """Can a program read its kernel's memory on this engine's processor?  This CPUID cannot say that it cannot.

    QEMU checks an emulated access before it makes it.  Read once, because a later boot may not see the file (--chroot).
    """
    if engine == "tcg":
        return False
    try:
        return MELTDOWN.read_text(encoding="utf-8").strip() != "Not affected"
    except OSError:
        return True


def qemu_cpu() -> str:
    """QEMU's ``-cpu`` option for this CPUID: the model "base" with the identity of its qemu32."""
    identity = (f"vendor={VENDOR.decode()}", "family=6", "model=6", "stepping=3", "model-id=QEMU TCG CPU")
    limits = (f"level={LAST_BASIC}", f"xlevel={LAST_EXTENDED:#x}", "full-cpuid-auto-level=off", "hypervisor=off")
    return ",".join(("base", *identity, *limits, *(f"{feature.qemu}=on" for feature in FEATURES), "umip=on", "nx=on"))


def allowed(supported: Iterable[CpuidEntry]) -> list[CpuidEntry]:
    """The VM's CPUID entries, from the ``supported`` ones: LEAVES, with only the bits of FEATURES."""
    entries = {entry.function: entry for entry in reversed(list(supported))}  # the first of several with the same leaf
    return [_masked(entries[leaf]) for leaf in LEAVES if leaf in entries]


def _masked(entry: CpuidEntry) -> CpuidEntry:
    match entry.function:
        case 0:
            ebx, edx, ecx = (int.from_bytes(VENDOR[at : at + 4], "little") for at in (0, 4, 8))
            return replace(entry, eax=LAST_BASIC, ebx=ebx, ecx=ecx, edx=edx)
        case 1:  # ebx: no brand index, no CLFLUSH, one processor, local APIC 0
            bits = {name: getattr(entry, name) & mask for name, mask in ALLOWED.items()}
            return replace(entry, eax=SIGNATURE, ebx=0x00010000, **bits)
        case 7:
            return replace(entry, eax=0, ebx=0, ecx=entry.ecx & UMIP, edx=0)
        case 0x80000000:
            return replace(entry, eax=LAST_EXTENDED)
        case 0x80000001:  # not AMD's copies of the bits of leaf 1, nor 64-bit mode
            return replace(entry, eax=0, ebx=0, ecx=0, edx=entry.edx & NX)
    return entry
