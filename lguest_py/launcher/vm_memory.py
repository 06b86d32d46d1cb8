# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout of the machine's memory, and what is written there before it runs (switcher/layouts/machine.h).

From 0: the Host area (machine description, mailbox, PCI functions, Host kernel, the pages it hands out to shadow
tables, the bytes that say where devices wrote), then at ``guest_base`` the Guest's RAM, then the device pages if the
Guest has them.
Read next: lguest_py/launcher/vm.py.
Next in the book: vm.py.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lguest_py.engines.base import Engine
from lguest_py.errors import LguestError, UsageError
from lguest_py.images import Image
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

PAGE = 4096
MIB = 1 << 20
IMAGES = Path(__file__).resolve().parents[1] / "_images"
MEMORY_LIMITS = 4 * MIB, 2048 * MIB
_STEP = 4 * MIB
HOST_BYTES = 16 * MIB  # the least room for the Host kernel
SHADOW_SHARE = 64  # one byte for shadow page tables for so many of the Guest's RAM
BAR_GAP = MIB  # reserved above the RAM by kernels of generation 2
BAR_WINDOW = 16 * MIB
HOST_KERNELS = "host_kernel.bin", "host_kernel_pae.bin"
POLL_MICROSECONDS = 300  # more than the Launcher needs for most requests
Switcher = Literal["classic", "lean"]
Bus = Literal["page", "pci"]


def bus_of(image: Image, wanted: Literal["auto", "page", "pci"] = "auto") -> Bus:
    """The bus of the Guest's devices.  Raises UsageError for a wish that cannot be."""
    native = image.personality == "native"
    if wanted == "auto":
        return "pci" if native or image.generation != 1 else "page"
    if native and wanted == "page":
        raise UsageError("the device page is lguest's, and this kernel runs natively: give bus pci, or auto")
    return wanted


def abi_of(image: Image) -> int:
    """The form of struct lguest_data (lguest_abi.h)."""
    if image.expects_tables:
        return L.LGUEST_DATA_0
    return L.LGUEST_DATA_1 if image.generation == 1 else L.LGUEST_DATA_2


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def polls() -> int:
    """machine.poll_microseconds: with one processor the Launcher could not answer meanwhile."""
    return POLL_MICROSECONDS if processors() > 1 else 0


@dataclass(frozen=True)
class Plan:
    """A machine for a Guest with ``guest_bytes`` of RAM."""

    guest_bytes: int
    bus: Bus = "page"

    def __post_init__(self) -> None:
        low, high = MEMORY_LIMITS
        if not low <= self.guest_bytes <= high or self.guest_bytes % PAGE:
            raise UsageError(
                f"memory of {self.guest_bytes} bytes cannot be: give {low // MIB}M to {high // MIB}M, in steps of 4 KiB"
            )

    @property
    def guest_base(self) -> int:
        """VM-physical address of the Guest's RAM.  The room below it grows with the RAM, for its shadow page tables."""
        wanted = HOST_BYTES + self.guest_bytes // SHADOW_SHARE
        return max(L.HOST_MINIMUM, -(-wanted // _STEP) * _STEP)

    @property
    def device_writes(self) -> range:
        """VM-physical addresses of the bytes that say to which of the Guest's frames devices wrote (struct machine)."""
        frames = (self.guest_bytes + self.device_bytes) // PAGE
        start = (self.guest_base - frames) // PAGE * PAGE
        return range(start, start + frames)

    @property
    def device_bytes(self) -> int:
        """Bytes of the device pages above the Guest's RAM, which the Guest may map too."""
        return L.LGUEST_DEVICE_PAGES * PAGE if self.bus == "page" else 0

    @property
    def bar_base(self) -> int:
        """Guest-physical address of the window for BARs, which is no memory; 0: no PCI."""
        return -(-self.guest_bytes // MIB) * MIB + BAR_GAP if self.bus == "pci" else 0

    @property
    def bar_bytes(self) -> int:
        """Its size."""
        return BAR_WINDOW if self.bus == "pci" else 0

    @property
    def total(self) -> int:
        """The whole machine's memory."""
        return self.guest_base + self.guest_bytes + self.device_bytes


def built(name: str) -> Path:
    """One of the images that come with lguest-py.  Raises LguestError when it was not built."""
    path = IMAGES / name
    if not path.is_file():
        raise LguestError(f"{name} was not built: install lguest-py anew (pip install .), and look for its errors")
    return path


@functools.cache
def _host_kernels(folder: Path, native: bool) -> tuple[bytes, ...]:
    """The images in this folder that a Guest may need: for page tables of two levels, and of PAE for ``native`` ones.

    They are read once, because a later boot may not see the files (--chroot).
    """
    return tuple(built(name).read_bytes() for name in HOST_KERNELS[: 1 + native])


def fill(
    engine: Engine,
    plan: Plan,
    image: Image,
    command_line: str,
    initrd: str | None,
    switcher: Switcher = "lean",
    pae: bool = False,
) -> None:
    """Write the Host kernel, its description of the machine, and the Guest into fresh (zeroed) memory.

    ``pae``: the Host kernel for Guests with page tables of PAE's form.  Raises ImageError when something does not fit.
    """
    from lguest_py.devices.pci_bus import native_pins
    from lguest_py.images.boot_params import place_tables, write_boot_params
    from lguest_py.images.initrd import load_initrd
    from lguest_py.images.native import BOOT_PARAMS, needs_no_pti, write_native
    from lguest_py.images.support import sets_flag_by_popf

    memory = engine.memory
    native = image.personality == "native"
    kernel = _host_kernels(IMAGES, native)[pae]
    memory[L.HOST_KERNEL_BASE : L.HOST_KERNEL_BASE + len(kernel)] = kernel
    ram = memory[plan.guest_base : plan.guest_base + plan.guest_bytes]
    image.load(ram)
    where = load_initrd(initrd, ram, lowest=image.end, linux=image.version is not None) if initrd else None
    tables_end = place_tables(len(ram), image, where) if image.expects_tables else 0
    tsc_text = 0
    if native:
        window = plan.bar_base, plan.bar_bytes
        tsc_text = write_native(
            ram,
            image,
            command_line=command_line,
            initrd=where,
            window=window,
            pins=native_pins(),
            no_pti=needs_no_pti(image.version, pae, engine.name),
        )
    else:
        write_boot_params(ram, image, command_line=command_line, initrd=where)

    facts = engine.facts
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    machine = View(memory, L.MACHINE_ADDRESS, L.MACHINE)
    for name, value in {
        "magic": L.MACHINE_MAGIC,
        "memory_bytes": plan.total,
        "guest_base": plan.guest_base,
        "guest_bytes": plan.guest_bytes,
        "device_pages": plan.device_bytes // PAGE,
        "guest_entry": image.entry,
        "boot_params": BOOT_PARAMS if native else 0,
        "personality": L.PERSONALITY_NATIVE if native else L.PERSONALITY_LGUEST,
        "tsc_khz": facts.tsc_khz,
        "wall_seconds": seconds,
        "wall_nanoseconds": nanoseconds,
        "doorbell_port": facts.doorbell_port,
        "doorbell_pin": facts.doorbell_pin,
        "doorbell_ack_port": facts.doorbell_ack_port,
        "debug_port": facts.debug_port,
        "exit_port": facts.exit_port,
        "switcher": L.SWITCHER_LEAN if switcher == "lean" else L.SWITCHER_CLASSIC,
        "tsc_text": tsc_text,
        "bus": L.BUS_PCI if plan.bus == "pci" else L.BUS_PAGE,
        "abi": abi_of(image),
        "bar_base": plan.bar_base,
        "bar_bytes": plan.bar_bytes,
        "tables_end": tables_end,
        "sets_flag_by_popf": int(native and sets_flag_by_popf(image.version)),
        "device_writes": plan.device_writes.start,
        "poll_microseconds": polls(),
    }.items():
        machine[name] = value
