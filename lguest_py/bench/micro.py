# SPDX-License-Identifier: GPL-2.0-or-later
"""What a world switch costs, and all around it: measured in the tiny Guest, in the Host kernel and in a native Guest.

Nothing of Python's is in the way of what is measured, but where a row says so.  Three machines are booted: the tiny
Guest with its command ``bench`` (guest_kernel/bench/bench.c); the Host kernel with its own measurements in place of
its run loop (host_kernel/bench/); and a small kernel for the native personality (guest_kernel/native_bench/).

Read next: counting.py for the machines, samples.py for what they print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lguest_py.bench.samples import parse, without_clock
from lguest_py.errors import LguestError, UsageError
from lguest_py.images.image import Image
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.measurements.row import CYCLES, INSTRUCTIONS, MILLISECONDS, Row
from lguest_py.shared_memory.mailbox import Snapshot

SECONDS: Final = 300.0  # for one of the machines; it takes one or two
MEMORY: Final = 64 << 20
Machine = Literal["tiny", "host", "native", "command"]  # which of the three measures; or lguest-py boot, as it is


@dataclass(frozen=True)
class What:
    """One measurement.  ``operations``: in a sample.  ``engine``, ``switcher``: the only one that has it, or ""."""

    about: str
    group: str
    machine: Machine
    operations: int = 1
    where: str = "guest"
    engine: str = ""
    switcher: str = ""


def _step(about: str, switcher: str = "") -> What:
    return What(about, "step", "host", where="host", switcher=switcher)


WHATS: Final = {
    "null-switch": What("Host kernel to an int in ring 1, and back", "switch", "host", where="host"),
    "step-stack": _step("the stack pointer, kept and loaded"),
    "step-gdt": _step("lgdt", "classic"),
    "step-idt": _step("lidt", "classic"),
    "step-tss": _step("ltr, with the busy bit cleared first", "classic"),
    "step-cr3": _step("a load of CR3, nothing touched behind it"),
    "step-refill": _step("four pages touched behind a load of CR3: Switcher's text, stack, state; Host's data"),
    "step-segments": _step("ds, es, fs and gs loaded"),
    "step-int": _step("int, from ring 0 to ring 0"),
    "step-iret": _step("iret, from ring 0 to ring 0"),
    "floor": What("int and iret between rings 1 and 0 with two loads of CR3", "switch", "host", where="host"),
    "hypercall-bare": What("the null hypercall, from the Guest in which floor is measured", "switch", "host"),
    "hypercall": What("the null hypercall (FLUSH_ASYNC, nothing waits)", "switch", "tiny"),
    "hypercall-switch": What("a null hypercall that is always a world switch (SEND_INTERRUPTS)", "switch", "tiny"),
    "ring-1": What("an entry of the asynchronous ring written, and the call that has it drained", "switch", "tiny"),
    "ring-64": What("an entry, where 64 are written and drained at once", "switch", "tiny", operations=64),
    "system-call": What("int 0x80 from ring 3 to the kernel and iret back: direct", "inside", "tiny"),
    "fault-reflected": What("a page fault to the Guest's handler, and back behind it", "switch", "tiny"),
    "fault-reflected-inside": What("a program's page fault, handed to the Guest's handler by the Switcher, and back",
                                   "inside", "tiny", switcher="lean"),
    "fault-filled": What("the first touch of a page that the Guest's tables map", "switch", "tiny"),
    "fpu-trap": What("the first FPU instruction under TS: trap 7, TS off in its handler, and again", "switch", "tiny"),
    "interrupt": What("the clock's, from the last instruction before it to its handler's first", "switch", "tiny"),
    "timer-lateness": What("from when the clock was to fire to its handler's first instruction", "switch", "tiny"),
    "flush-user": What("FLUSH_TLB(0), 256 user pages in 4 tables, 512 of the kernel's in use", "switch", "tiny"),
    "flush-all": What("FLUSH_TLB(1), the same, and 3 more address spaces like it", "switch", "tiny"),
    "directory-cached": What("NEW_PGTABLE to one of 4 such directories that the Host knows", "switch", "tiny"),
    "directory-stale": What("the same, the first time behind a FLUSH_TLB(1)", "switch", "tiny"),
    "directory-new": What("NEW_PGTABLE to one that the Host does not know, its cache full", "switch", "tiny"),
    "native-cli": What("cli", "native-personality", "native"),
    "native-sti": What("sti", "native-personality", "native"),
    "native-iret": What("iret to a program", "native-personality", "native"),
    "native-iret-kernel": What("iret within the kernel", "native-personality", "native"),
    "native-in": What("in, of a register of the serial port that does nothing", "native-personality", "native"),
    "native-out": What("out, to the same", "native-personality", "native"),
    "native-cr3": What("a load of CR3, of two small directories in turn", "native-personality", "native"),
    "exit-kvm": What("an exit that KVM answers itself (cpuid)", "wall", "host", where="host", engine="kvm"),
    "exit-python": What("an exit to the Launcher and back (out)", "wall", "host", where="launcher", engine="kvm"),
    "doorbell": What("a NOTIFY that waits for the Launcher: doorbell, Python, interrupt", "wall", "tiny",
                     where="launcher"),
    "prompt": What("lguest-py boot, from the command to the tiny Guest's prompt", "wall", "command", where="launcher"),
}  # fmt: skip
MICRO: Final = {name: what.about for name, what in WHATS.items()}


def micro_rows(engine: str, switcher: str, counted: bool, names: Sequence[str]) -> list[Row]:
    """Measure ``names`` (of MICRO; none: all) once, on ``engine`` ("auto", "kvm", "tcg") with this Switcher.

    ``counted``: in instructions, on the tcg engine; rows of group "wall" are left out then, and so is what the engine
    does not have.  A row that the Switcher answered by itself has the group "inside".  Raises LguestError.
    """
    from lguest_py.bench.counting import as_switcher, choose

    if unknown := [name for name in names if name not in WHATS]:
        raise UsageError(f"there is no measurement {unknown[0]!r}: give one of {', '.join(WHATS)}")
    chosen = as_switcher(switcher)
    name = choose(engine, counted).name
    wanted = {
        key: what
        for key, what in WHATS.items()
        if (key in names or not names)
        and what.engine in ("", name)
        and what.switcher in ("", switcher)
        and not (counted and what.group == "wall")
    }
    rows: dict[str, Row] = {}
    if "prompt" in wanted:
        rows["prompt"] = _prompt(name)
    machines: tuple[Machine, ...] = ("host", "tiny", "native")
    for machine in machines:
        of_it = {key: what for key, what in wanted.items() if what.machine == machine}
        if of_it:
            rows |= _measure(machine, engine, chosen, counted, of_it)
    return [rows[key] for key in wanted]


def _prompt(engine: str) -> Row:
    from lguest_py.bench.prompt import prompt_samples

    return Row("prompt", "wall", WHATS["prompt"].where, "", MILLISECONDS, prompt_samples(engine))


def _measure(
    machine: Machine, engine: str, switcher: Switcher, counted: bool, wanted: dict[str, What]
) -> dict[str, Row]:
    from lguest_py.bench.counting import ADVICE

    text, snapshot = _run(machine, engine, switcher, counted, wanted)
    printed = parse(text)
    samples = without_clock(printed, {key: what.operations for key, what in wanted.items()})
    rows = {}
    for key, what in wanted.items():
        if not samples.get(key):
            raise LguestError(f"{key} was not measured: {ADVICE}")
        counts = printed.counts.get(key, {})
        group = "inside" if counts.get("answered") and what.group == "switch" else what.group
        rows[key] = Row(
            key,
            group,
            what.where,
            "" if group in ("step", "wall") or key in ("floor", "system-call") else switcher,
            INSTRUCTIONS if counted else CYCLES,
            samples[key],
            counts,
            0 if counted else snapshot.tsc_khz,
        )
    return rows


def _run(
    machine: Machine, engine: str, switcher: Switcher, counted: bool, wanted: dict[str, What]
) -> tuple[str, Snapshot]:
    """Boot one of the three; what it printed."""
    from lguest_py.bench.counting import choose, run_machine
    from lguest_py.launcher.launcher import Settings

    choice = choose(engine, counted, "host_bench.bin" if machine == "host" else "")
    words = _words(machine, wanted)
    settings = Settings(_image(machine), MEMORY, words, restart=False, timeout=SECONDS, switcher=switcher)
    return run_machine(settings, choice.make)


def _words(machine: Machine, wanted: dict[str, What]) -> str:
    if machine == "tiny":
        return f"run=bench {' '.join(wanted)}"
    return "wall" if any(what.group == "wall" for what in wanted.values()) else ""


def _image(machine: Machine) -> Image:
    from lguest_py.images.elf import read_elf
    from lguest_py.launcher.vm_memory import built

    if machine == "host":  # it writes its Guest itself
        return Image("none", "none", 0, (), b"", None, 1)
    path = built("guest.elf" if machine == "tiny" else "native_bench.elf")
    with path.open("rb") as file:
        elf = read_elf(file, path.stat().st_size, path.name)
    return Image(
        str(path), "ELF", elf.entry, elf.segments, b"", None, 1,
        personality="lguest" if machine == "tiny" else "native",
    )  # fmt: skip
