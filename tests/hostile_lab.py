# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a random Guest, and look whether the Host kernel's own memory is still as it must be: for tests/test_hostile.py.

Read before: hostile.S, what such a Guest stands on; hostile_code.py, which makes it.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import build_images
import toolchain
from hostile_code import LGUEST, NATIVE, PLACES, SLOT, guest_code, guest_tables, store

from lguest_py import _layouts as L
from lguest_py import engines
from lguest_py.engines.base import Engine, MachineEnd, MachineFacts
from lguest_py.images import Image, Segment
from lguest_py.images.image import Personality
from lguest_py.launcher import Launcher, Settings
from lguest_py.layout import View
from lguest_py.report import death, statistics
from lguest_py.result import End, Result
from lguest_py.streams import Input, Output
from lguest_py.vm_memory import PAGE, Plan, built

ROOT = Path(__file__).resolve().parent.parent
RAM = 8 << 20
START = 0x100000
SECONDS = 2.0  # for a Guest that does not end by itself
P, RW = 1, 2
SWITCHER_INDEX = 1023
PAGE_FAULT = 14
DESCRIPTOR_P, DESCRIPTOR_S, DESCRIPTOR_DPL = 1 << 47, 1 << 44, 3 << 45


@cache
def stand(personality: str) -> bytes:
    """tests/hostile.S for this personality."""
    build_images.Builder().generate()
    tools = toolchain.find()
    constants = {**PLACES, "SLOT": SLOT, "NATIVE": int(personality == NATIVE)}
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        defines = [f"-D{key}={value}" for key, value in constants.items()]
        for command in (
            [*tools.compile, *defines, f"-I{ROOT}/build/generated", "-c", ROOT / "tests" / "hostile.S", "-o", where / "o"],
            [*tools.link, f"-Ttext={START:#x}", "-e", "start", where / "o", "-o", where / "elf"],
            [*tools.objcopy, "-O", "binary", where / "elf", where / "bin"],
        ):
            subprocess.run([str(word) for word in command], check=True)
        return (where / "bin").read_bytes()


def _image(personality: str, chance: random.Random, code: dict[int, bytes]) -> Image:
    handlers = START + PAGE  # hostile.S: stubs, 16 bytes each
    parts = {START: stand(personality), **guest_tables(chance, personality, handlers), **code}
    segments = tuple(Segment(address, data, len(data)) for address, data in sorted(parts.items()))
    kind: Personality = "native" if personality == NATIVE else "lguest"
    return Image("random", "ELF", START, segments, b"", None, 1, personality=kind)


def image(personality: str, seed: int) -> Image:
    """The Guest of this seed."""
    chance = random.Random(f"{personality} {seed}")
    return _image(personality, chance, guest_code(chance, personality))


def image_of(personality: str, code: bytes, user: bytes = b"", more: dict[int, bytes] | None = None) -> Image:
    """A Guest that runs ``code`` in ring 1, with ``user`` at USER_SLOTS, and powers off at any trap behind it."""
    words = struct.pack("<III", 1000, PLACES["SLOTS"], 0)
    end = store(PLACES["BUDGET"], 1) + b"\x0f\x0b"
    parts = {PLACES["SLOTS"]: code + end, PLACES["USER_SLOTS"]: user + b"\xeb\xfe", PLACES["BUDGET"]: words}
    return _image(personality, random.Random(0), {**parts, **(more or {})})


@cache
def symbols() -> dict[str, int]:
    """The Host kernel's symbols."""
    from elftools.elf.elffile import ELFFile

    with built("host_kernel.elf").open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


@cache
def constant_parts() -> tuple[tuple[int, bytes], ...]:
    """What of the Host kernel's image never changes: code and constants, with their addresses."""
    from elftools.elf.elffile import ELFFile

    found = []
    with built("host_kernel.elf").open("rb") as file:
        elf = ELFFile(file)
        for name in (".text", ".rodata", ".switcher"):
            section = elf.get_section_by_name(name)
            found.append((symbols()["switcher_load"] if name == ".switcher" else section["sh_addr"], section.data()))
    return tuple(found)


def word(memory: memoryview, address: int) -> int:
    """A word of the machine's memory."""
    return int.from_bytes(memory[address : address + 4], "little")


def _descriptors(memory: memoryview, table: int, count: int, ours: dict[int, int]) -> list[str]:
    """What in a table of descriptors for the Guest leads into ring 0; ``ours`` are the entries that do, with access bytes."""
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


def _shadow(memory: memoryview, guest: range) -> list[str]:
    """Where the page tables that the CPU uses for the Guest lead, other than to its own memory (VM-physical)."""
    at = symbols()
    wrong = []
    state = View(memory, at["state_page"], L.LGUEST_STATE)
    directory, table = state["guest_cr3"], at["guest_switcher_table"]
    region = {0: (at["switcher_load"], 0), 1: (at["stack_page"], RW), 2: (at["state_page"], 0)}
    for index in range(16):
        region[16 + index] = at["ldt"] + index * PAGE, 0
    for index in range(1024):
        entry = word(memory, table + 4 * index)
        if entry & P and (entry & ~0xFFF, entry & RW) != region.get(index):
            wrong.append(f"page {index} of the Switcher's region is {entry:#x}")
    if word(memory, directory + 4 * SWITCHER_INDEX) & ~0xFFF != table:
        wrong.append(f"directory {directory:#x} has no Switcher")
    for upper in range(SWITCHER_INDEX):
        link = word(memory, directory + 4 * upper)
        if not link & P:
            continue
        if not at["image_end"] <= link < guest.start:
            wrong.append(f"directory entry {upper:#x} is {link:#x}")
            continue
        for index, (entry,) in enumerate(struct.iter_unpack("<I", memory[link & ~0xFFF : (link & ~0xFFF) + PAGE])):
            if entry & P and entry & ~0xFFF not in guest and entry & ~0xFFF != at["nothing"]:
                wrong.append(f"{upper << 22 | index << 12:#x} is mapped by {entry:#x}")
    return wrong


def offences(memory: memoryview, guest: range) -> list[str]:
    """What is wrong in the machine's memory, if its Guest's is ``guest`` (VM-physical)."""
    at = symbols()
    wrong = [f"the Host kernel's image changed at {address:#x}" for address, data in constant_parts()
             if memory[address : address + len(data)] != data]  # fmt: skip
    for start, end in ((L.MACHINE_ADDRESS + L.MACHINE.size, L.MAILBOX_ADDRESS), (0x14000, 0x9F000), (guest.stop, len(memory))):
        if any(memory[start:end]):
            wrong.append(f"memory that nobody uses, {start:#x} to {end:#x}, was written")
    state = View(memory, at["state_page"], L.LGUEST_STATE)
    if not state["guest_cr3"]:
        return wrong  # it never started
    for name, address in (("host_cr3", "host_directory"), ("host_gdt_base", "host_gdt")):
        if state[name] != at[address]:
            wrong.append(f"{name} is {state[name]:#x}")
    tss = state.sub("guest_tss", L.TSS)
    if (tss["ss0"], tss["esp0"], tss["back_link"]) != (L.HOST_DS, L.SWITCHER_STACK_PAGE + PAGE, 0):
        wrong.append(f"the TSS leads to {tss['ss0']:#x}:{tss['esp0']:#x}")
    ours = {L.GDT_HOST_CS: 0x9B, L.GDT_HOST_DS: 0x93, L.GDT_TSS: 0x89}
    for name in ("gdt", "gdt_user"):
        wrong += _descriptors(memory, at["state_page"] + L.LGUEST_STATE.fields[name][0], L.GDT_ENTRIES, ours)
    wrong += _descriptors(memory, at["ldt"], 8192, {})
    wrong += _descriptors(memory, at["host_gdt"], L.GDT_ENTRIES, ours)
    idt = at["state_page"] + L.LGUEST_STATE.fields["idt"][0]
    wrong += _gates(memory, idt, L.SWITCHER_BASE, L.SWITCHER_BASE + PAGE, True)
    text = constant_parts()[0]
    wrong += _gates(memory, at["host_idt"], text[0], text[0] + len(text[1]), False)
    for index in range(SWITCHER_INDEX):
        if word(memory, at["host_directory"] + 4 * index) & 0xFFC00083 != index << 22 | 0x83:
            wrong.append(f"the Host's directory entry {index} changed")
    return wrong + _shadow(memory, guest)


class Watched:
    """An engine whose memory is looked at before it is given back."""

    def __init__(self, engine: Engine, guest: range) -> None:
        self._engine = engine
        self._guest = guest
        self.name, self.about, self.facts, self.memory = engine.name, engine.about, engine.facts, engine.memory
        self._machine = b""
        self.closed = False
        self.wrong: list[str] = []

    def start(self, entry: int, ebx: int) -> None:
        self._machine = bytes(self.memory[L.MACHINE_ADDRESS : L.MACHINE_ADDRESS + L.MACHINE.size])
        self._engine.start(entry, ebx)

    def fileno(self) -> int:
        return self._engine.fileno()

    def poll(self) -> MachineEnd | None:
        return self._engine.poll()

    def interrupt(self) -> None:
        self._engine.interrupt()

    def debug_text(self) -> str:
        return self._engine.debug_text()

    def close(self) -> None:
        if not self.closed:
            self._look()
        self.closed = True
        self._engine.close()

    def _look(self) -> None:
        """A machine that still runs may be changing what we read: only what stays wrong is wrong."""
        wrong = self._offences()
        for _ in range(5):
            if wrong:
                time.sleep(0.05)
                again = self._offences()
                wrong = [each for each in wrong if each in again]
        self.wrong = wrong

    def _offences(self) -> list[str]:
        found = offences(self.memory, self._guest)
        if self._machine and self.memory[L.MACHINE_ADDRESS : L.MACHINE_ADDRESS + len(self._machine)] != self._machine:
            found.append("struct machine was written")
        return found


@dataclass(frozen=True)
class Run:
    """How a Guest ended, and what was wrong then in the Host's memory."""

    result: Result
    wrong: list[str]

    @property
    def failures(self) -> list[str]:
        """What no Guest may bring about; empty, if all is well."""
        outcome, found = self.result.outcome, list(self.wrong)
        death(self.result)
        statistics(self.result)
        if outcome.end in (End.INTERNAL_ERROR, End.MACHINE_FAILED):
            found.append(f"{outcome.end.value}: {outcome.reason} {self.result.debug_text}")
        last = self.result.snapshot.last
        if outcome.end is End.TIME_LIMIT and len({(each.trapnum, each.eip, each.cr2) for each in last[-40:]}) == 1:
            if last[-1].trapnum == PAGE_FAULT:  # what stands here delivers it, which is a trap of its own
                found.append(f"no progress: page fault at {last[-1].cr2:#x} again and again, eip {last[-1].eip:#x}")
        return found


def run(engine_name: str, personality: str, seed: int) -> Run:
    """Boot the Guest of this seed under the Launcher, which has its devices."""
    return run_image(engine_name, image(personality, seed), random.Random(seed).randbytes(3000))


def run_image(engine_name: str, guest: Image, typed: bytes = b"", watched: type[Watched] = Watched) -> Run:
    """Boot any Guest so."""
    plan = Plan(RAM)
    devices = plan.device_bytes if guest.personality == LGUEST else 0
    choice = engines.choose(engine_name)
    made: list[Watched] = []

    def make(memory_bytes: int) -> Watched:
        made.append(watched(choice.make(memory_bytes), range(plan.guest_base, plan.guest_base + RAM + devices)))
        return made[-1]

    settings = Settings(guest, RAM, restart=False, timeout=SECONDS)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        with tempfile.TemporaryFile() as keys:
            keys.write(typed)
            keys.seek(0)
            output = Output(sink)
            result = Launcher(settings, make, Input(keys.fileno()), output).run()
            output.finish(60)
    finally:
        os.close(sink)
    return Run(result, made[-1].wrong)
