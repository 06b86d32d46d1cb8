# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a random Guest, and look whether the Host kernel's own memory is still as it must be (test_hostile.py).

Read before: hostile.S, what such a Guest stands on; hostile_guest.py, which makes it.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import build_images
import pytest
import toolchain
from hostile_code import DIRECTORY, GDT, IDT, PAGE_FAULT, PLACES, RAM_END, SLOT, store
from hostile_guest import LARGE, SECOND, THIRD, guest_code, guest_tables
from hostile_pae import PAE_RING_1, pae_tables

from lguest_py import engines
from lguest_py.console.streams import Input, Output
from lguest_py.engines.base import Engine, EngineWrapper
from lguest_py.hardware import Hardware
from lguest_py.images import Image, Segment
from lguest_py.images.image import Personality
from lguest_py.launcher.launcher import Control, Launcher, Settings
from lguest_py.launcher.report import death, statistics
from lguest_py.launcher.result import End, Result
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.vm_memory import PAGE, Plan, Switcher, built
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

PERSONALITIES = pytest.mark.parametrize("personality", ["lguest", "native"])
SWITCHERS = pytest.mark.parametrize("switcher", ["lean", "classic"])
SOURCE = Path(__file__).resolve().with_name("hostile.S")
GENERATED = SOURCE.parents[2] / "build" / "generated"
START = 0x100000
SECONDS = 1.5  # for a Guest that need not end by itself; however short it was, nothing is wrong
LONG = 300  # for one that does, in a second or a few
P, RW = 1, 2
NX_BIT = 1 << 63
LOW = 0xFFFFF000  # the address in an entry
SECTIONS = ".switcher", ".switcher_lean"  # in this order from switcher_load on
DATA_PAGES = [(L.SWITCHER_DATA_PAGE - L.SWITCHER_BASE) // PAGE + page for page in range(2)]
MANY = 40  # exits that are all alike
DESCRIPTOR_P, DESCRIPTOR_S, DESCRIPTOR_DPL = 1 << 47, 1 << 44, 3 << 45


@cache
def stand(personality: Personality, pae: bool, refill: bool = False) -> bytes:
    """tests/lab/hostile.S for this personality and this form of page tables; ``refill``: it asks for more slots."""
    build_images.Builder().generate()
    tools = toolchain.find()
    constants = {**PLACES, "SLOT": SLOT, "NATIVE": int(personality == "native"), "PAE": int(pae), "REFILL": int(refill)}
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        defines = [f"-D{key}={value}" for key, value in constants.items()]
        for command in (
            [*tools.compile, *defines, f"-I{GENERATED}", "-c", SOURCE, "-o", where / "o"],
            [*tools.link, f"-Ttext={START:#x}", "-e", "start", where / "o", "-o", where / "elf"],
            [*tools.objcopy, "-O", "binary", where / "elf", where / "bin"],
        ):
            subprocess.run([str(word) for word in command], check=True)
        return (where / "bin").read_bytes()


def _image(
    personality: Personality, chance: random.Random, code: dict[int, bytes], sane: bool, pae: bool = False
) -> Image:
    tables = guest_tables(chance, personality, sane)
    if pae:
        kept, paging = pae_tables(chance, sane)
        for place in (DIRECTORY, SECOND, THIRD, LARGE):
            del tables[place]
        tables |= paging
        tables[PLACES["KEPT"]] = tables[GDT] + tables[IDT] + kept
    parts = {START: stand(personality, pae), **tables, **code}
    segments = tuple(Segment(address, data, len(data)) for address, data in sorted(parts.items()))
    return Image("random", "ELF", START, segments, b"", None, 1, personality=personality, pae=pae)


def image(personality: Personality, seed: int, sane: bool, pae: bool = False) -> Image:
    """The Guest of this seed; ``sane``: only its programs are hostile."""
    chance = random.Random(f"{personality} {seed}" + " PAE" * pae)
    return _image(personality, chance, guest_code(chance, personality, sane, PAE_RING_1 if pae else None), sane, pae)


def image_of(
    personality: Personality,
    code: bytes,
    user: bytes = b"",
    more: Mapping[int, bytes] | None = None,
    pae: bool = False,
    seed: int = 0,
    sane: bool = True,
) -> Image:
    """A Guest that runs ``code`` in ring 1, with ``user`` at USER_SLOTS, and powers off at any trap behind it.

    ``more`` is what else it has in memory, by address; ``sane``: its programs cannot change what is the kernel's.
    """
    words = struct.pack("<IIII", 1000, PLACES["SLOTS"], 0, 0)
    end = store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    parts = {PLACES["SLOTS"]: code + end, PLACES["USER_SLOTS"]: user + b"\xeb\xfe", PLACES["BUDGET"]: words}
    return _image(personality, random.Random(seed), {**parts, **(more or {})}, sane, pae)


@dataclass(frozen=True)
class Form:
    """The form of page tables: of two levels, or PAE's."""

    elf: str
    entries: int  # of a table
    pages: int  # of a directory
    size: int  # bytes of an entry
    shift: int  # what a directory entry maps

    @property
    def switcher(self) -> int:
        """The first of the Switcher's entries in a directory."""
        return L.SWITCHER_BASE >> self.shift

    def table(self, memory: memoryview, address: int, pages: int = 1) -> tuple[int, ...]:
        """All entries."""
        return struct.unpack_from(f"<{self.entries * pages}{'Q' if self.size == 8 else 'I'}", memory, address)

    def directory(self, memory: memoryview, cr3: int) -> tuple[int, ...]:
        """All entries of a page directory, or of the four that a PDPT names."""
        if self.pages == 1:
            return self.table(memory, cr3)
        pointers = struct.unpack_from("<4Q", memory, cr3)
        assert all(each & 0xFFF & ~0x20 == P for each in pointers)  # QEMU marks them as accessed
        return tuple(entry for each in pointers for entry in self.table(memory, each & LOW))


TWO_LEVEL = Form("host_kernel.elf", 1024, 1, 4, 22)
PAE = Form("host_kernel_pae.elf", 512, 4, 8, 21)


def form(pae: bool) -> Form:
    """That of a Guest, and so of its Host kernel."""
    return PAE if pae else TWO_LEVEL


@cache
def host_image(pae: bool) -> tuple[dict[str, int], tuple[tuple[int, bytes], ...]]:
    """The Host kernel's symbols, and what of its image never changes (code and constants), with addresses."""
    from elftools.elf.elffile import ELFFile

    with built(form(pae).elf).open("rb") as file:
        elf: Any = ELFFile(file)
        at = {symbol.name: symbol["st_value"] for symbol in elf.get_section_by_name(".symtab").iter_symbols()}
        sections = [elf.get_section_by_name(name) for name in (".text", ".rodata", *SECTIONS)]
        loaded = (at["switcher_load"], at["switcher_load"] + PAGE)
        starts = (*(section["sh_addr"] for section in sections[:2]), *loaded)
        return at, tuple((start, section.data()) for start, section in zip(starts, sections, strict=True))


def symbols(pae: bool = False) -> dict[str, int]:
    """The Host kernel's symbols."""
    return host_image(pae)[0]


def word(memory: memoryview, address: int) -> int:
    """A word of the machine's memory."""
    return int.from_bytes(memory[address : address + 4], "little")


def _descriptors(memory: memoryview, table: int, count: int, ours: dict[int, int]) -> list[str]:
    """What in a table leads into ring 0 but for ``ours``, whose access bytes are known."""
    wrong = []
    for entry in range(count):
        (value,) = struct.unpack_from("<Q", memory, table + 8 * entry)
        if entry in ours:
            if value >> 40 & 0xFF & ~2 != ours[entry] & ~2:  # a TSS may be busy
                wrong.append(f"descriptor {entry} at {table:#x} is {value:#018x}, not ours")
        elif value & DESCRIPTOR_P and not value & DESCRIPTOR_S and value >> 40 & 0x1F != 2:
            wrong.append(f"descriptor {entry} at {table:#x} is a system one: {value:#018x}")
        elif value & DESCRIPTOR_P and value & DESCRIPTOR_S and not value & DESCRIPTOR_DPL:
            wrong.append(f"descriptor {entry} at {table:#x} has DPL 0: {value:#018x}")
    return wrong


def _gates(memory: memoryview, table: int, low: int, high: int, direct: bool) -> list[str]:
    """What in an IDT leads into ring 0 elsewhere than to ``low`` up to ``high``, the code that is meant for it."""
    wrong = []
    for vector in range(L.IDT_ENTRIES):
        first, second = struct.unpack_from("<II", memory, table + 8 * vector)
        offset, selector = (second & 0xFFFF0000) | (first & 0xFFFF), first >> 16
        if not second & 0x8000:
            continue
        if selector & ~3 == L.HOST_CS and not low <= offset < high:
            wrong.append(f"gate {vector} leads to {selector:#x}:{offset:#x}")
        if selector & ~3 != L.HOST_CS and (not direct or selector & 3 != 1):
            wrong.append(f"gate {vector} has selector {selector:#x}")
    return wrong


def _is_lean(memory: memoryview) -> bool:
    return View(memory, L.MACHINE_ADDRESS, L.MACHINE)["switcher"] == L.SWITCHER_LEAN


def _is_native(memory: memoryview) -> bool:
    return View(memory, L.MACHINE_ADDRESS, L.MACHINE)["personality"] == L.PERSONALITY_NATIVE


def _shadow(memory: memoryview, guest: range, pae: bool) -> list[str]:
    """Where the page tables that the CPU uses for the Guest lead, other than to its own memory (VM-physical)."""
    at, has = symbols(pae), form(pae)
    wrong = []
    state = View(memory, at["state_page"], L.LGUEST_STATE)
    directory, table = state["guest_cr3"], at["guest_switcher_table"]
    text = at["switcher_load"] + _is_lean(memory) * PAGE
    region = {0: (text, 0), 1: (at["stack_page"], RW), 2: (at["state_page"], 0)}
    for index in range(16):
        region[16 + index] = at["ldt"] + index * PAGE, 0
    for index, entry in enumerate(has.table(memory, table)):
        if index in DATA_PAGES and (_is_lean(memory) or _is_native(memory)) and entry & ~0xFFF in guest:
            continue
        if entry & P and (entry & ~0xFFF, entry & RW) != region.get(index):
            wrong.append(f"page {index} of the Switcher's region is {entry:#x}")
    links = has.directory(memory, directory)
    if links[has.switcher] & ~0xFFF != table or any(links[has.switcher + 1 :]):
        wrong.append(f"directory {directory:#x} has no Switcher")
    for upper, link in enumerate(links[: has.switcher]):
        if not link & P:
            continue
        if not at["image_end"] <= link & ~NX_BIT < guest.start:
            wrong.append(f"directory entry {upper:#x} is {link:#x}")
            continue
        for index, entry in enumerate(has.table(memory, link & LOW)):
            if entry & P and not leads_to(entry, guest) and entry & ~NX_BIT & ~0xFFF != at["absent_page"]:
                wrong.append(f"{upper << has.shift | index << 12:#x} is mapped by {entry:#x}")
    return wrong


def leads_to(entry: int, guest: range) -> bool:
    """Whether a shadow entry names memory of the Guest."""
    return entry & ~NX_BIT & ~0xFFF in guest


def offences(memory: memoryview, guest: range, machine: bytes, pae: bool = False) -> list[str]:
    """What is wrong in the machine's memory; ``guest`` is its Guest's (VM-physical), ``machine`` was struct machine."""
    at, has = symbols(pae), form(pae)
    parts = host_image(pae)[1]
    changed = [start for start, data in parts if memory[start : start + len(data)] != data]
    wrong = [f"the Host kernel's image changed at {start:#x}" for start in changed]
    if memory[L.MACHINE_ADDRESS : L.MACHINE_ADDRESS + len(machine)] != machine:
        wrong.append("struct machine was written")
    behind_machine = L.MACHINE_ADDRESS + L.MACHINE.size, L.MAILBOX_ADDRESS
    behind_mailbox = L.MAILBOX_ADDRESS + L.MAILBOX.size, L.PCI_ADDRESS
    behind_pci = L.PCI_ADDRESS + L.PCI_SLOTS * L.PCI_FUNCTION.size, L.TRACE_ADDRESS
    ring_end = L.TRACE_ADDRESS + L.TRACE_RECORDS * L.TRACE_RECORD.size
    traced = View(memory, L.MAILBOX_ADDRESS, L.MAILBOX)["trace_head"]
    behind_ring = ring_end if traced else L.TRACE_ADDRESS, 0x9F000
    for start, end in (behind_machine, behind_mailbox, behind_pci, behind_ring, (guest.stop, len(memory))):
        if bytes(memory[start:end]).strip(b"\0"):
            wrong.append(f"memory that nobody uses, {start:#x} to {end:#x}, was written")
    state = View(memory, at["state_page"], L.LGUEST_STATE)
    if not state["guest_cr3"]:
        return wrong  # it never started
    if state["host_cr3"] != at["host_pdpt" if pae else "host_directory"]:
        wrong.append(f"host_cr3 is {state['host_cr3']:#x}")
    tss = state.sub("guest_tss", L.TSS)
    if (tss["ss0"], tss["esp0"], tss["back_link"]) != (L.HOST_DS, L.SWITCHER_STACK_PAGE + PAGE, 0):
        wrong.append(f"the TSS leads to {tss['ss0']:#x}:{tss['esp0']:#x}")
    ours = {L.GDT_HOST_CS: 0x9B, L.GDT_HOST_DS: 0x93, L.GDT_TSS: 0x89}
    for name in ("gdt", "gdt_user"):
        wrong += _descriptors(memory, at["state_page"] + L.LGUEST_STATE.fields[name][0], L.GDT_ENTRIES, ours)
    wrong += _descriptors(memory, at["ldt"], 8192, {})
    idt = at["state_page"] + L.LGUEST_STATE.fields["idt"][0]
    wrong += _gates(memory, idt, L.SWITCHER_BASE, L.SWITCHER_BASE + PAGE, True)
    start, text = parts[0]
    if not _is_lean(memory):
        wrong += _descriptors(memory, at["host_gdt"], L.GDT_ENTRIES, ours)
        wrong += _gates(memory, at["host_idt"], start, start + len(text), False)
        if state["host_gdt_base"] != at["host_gdt"]:
            wrong.append(f"host_gdt_base is {state['host_gdt_base']:#x}")
    own = has.directory(memory, state["host_cr3"]) if not wrong else has.table(memory, at["host_directory"], has.pages)
    for index, entry in enumerate(own[: has.switcher]):
        if entry & ~0x70 != index << has.shift | 0x83:  # cached or not, accessed, dirty
            wrong.append(f"the Host's directory entry {index} changed")
    return wrong + _shadow(memory, guest, pae)


class Watched(EngineWrapper):
    """An engine whose memory is looked at before it is given back."""

    def __init__(self, engine: Engine, guest: range) -> None:
        super().__init__(engine)
        self.guest = guest
        self.machine = b""
        self.closed = False
        self.pae = False  # the form of its Guest's tables
        self.wrong: list[str] = []

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        self.machine = bytes(self.memory[L.MACHINE_ADDRESS : L.MACHINE_ADDRESS + L.MACHINE.size])
        super().start(entry, ebx, tsc)

    def close(self) -> None:
        if not self.closed:
            self._look()
        self.closed = True
        super().close()

    def _look(self) -> None:
        """A machine that still runs may be changing what we read: only what stays wrong is wrong."""
        self.wrong = offences(self.memory, self.guest, self.machine, self.pae)
        for _ in range(5):
            if self.wrong:
                time.sleep(0.05)
                again = offences(self.memory, self.guest, self.machine, self.pae)
                self.wrong = [each for each in self.wrong if each in again]


@dataclass(frozen=True)
class Run:
    """How a Guest ended, and what was wrong then in the Host's memory."""

    result: Result
    wrong: list[str]

    @property
    def failures(self) -> list[str]:
        """What no Guest may bring about; empty, if all is well."""
        outcome, shot, found = self.result.outcome, self.result.snapshot, list(self.wrong)
        death(self.result)
        statistics(self.result)
        if outcome.end in (End.INTERNAL_ERROR, End.MACHINE_FAILED):
            found.append(f"{outcome.end.value}: {outcome.reason} {self.result.debug_text}")
        last = shot.last[-MANY:]
        alike = {(each.trapnum, each.eip, each.cr2) for each in last}
        faulting = len(last) == MANY and last[-1].trapnum == PAGE_FAULT
        stuck = faulting and len(alike) == 1 and shot.faults_filled > shot.faults_reflected
        if outcome.end is End.TIME_LIMIT and stuck:
            found.append(f"a page fault is filled again and again: (vector, eip, cr2) {alike}")
        return found


@cache
def run(
    engine_name: str, personality: Personality, seed: int, seconds: float, sane: bool = False, pae: bool = False
) -> Run:
    """Boot the Guest of this seed under the Launcher, which has its devices; odd ones on the classic Switcher."""
    typed = random.Random(seed).randbytes(3000)
    switcher: Switcher = "classic" if seed % 2 else "lean"
    return run_image(engine_name, image(personality, seed, sane, pae), typed, seconds, switcher=switcher)


def run_image(
    engine_name: str,
    guest: Image,
    typed: bytes = b"",
    seconds: float = LONG,
    watched: type[Watched] = Watched,
    switcher: Switcher = "lean",
    hardware: tuple[Hardware, ...] = (),
    engine: Callable[[int], Engine] | None = None,
    tracing: Tracing | None = None,
    control: Control | None = None,
) -> Run:
    """Boot any Guest so; ``seconds`` is its time limit.  With ``hardware`` it has PCI.

    ``engine`` makes one in place of that.  ``tracing``: who traces it; ``control``: who looks at it.
    """
    plan = Plan(RAM_END)
    devices = plan.device_bytes if guest.personality == "lguest" and not hardware else 0
    make_engine = engine or engines.choose(engine_name).make
    made: list[Watched] = []

    def make(memory_bytes: int) -> Watched:
        made.append(watched(make_engine(memory_bytes), range(plan.guest_base, plan.guest_base + RAM_END + devices)))
        made[-1].pae = guest.pae is not (len(made) > 1)  # it is started again only for the other form of tables
        return made[-1]

    settings = Settings(guest, RAM_END, restart=False, timeout=seconds, switcher=switcher, devices=hardware)
    if hardware:
        settings = replace(settings, bus="pci")
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        with tempfile.TemporaryFile() as keys:
            keys.write(typed)
            keys.seek(0)
            with closing(Output(sink)) as output:
                result = Launcher(settings, make, Input(keys.fileno()), output, control=control, tracing=tracing).run()
                output.finish(60)
    finally:
        os.close(sink)
    return Run(result, made[-1].wrong)


def harmless(done: Run) -> Run:
    """It, which did the Host kernel no harm."""
    assert not done.failures
    return done
