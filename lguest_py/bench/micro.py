# SPDX-License-Identifier: GPL-2.0-or-later
"""Microbenchmarks of the world switch and its steps, hypercalls, faults and interrupts.

No Python code runs within a measurement, except in rows of the group "wall".  Three machines are booted: the tiny
Guest with its command ``bench`` (guest_kernel/bench/bench.c); the Host kernel with its own measurements in place of
its run loop (host_kernel/bench/); and a small kernel for the native personality (guest_kernel/native_bench/).

Read next: counting.py for the machines, samples.py for what they print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lguest_py.bench.samples import parse, subtract_clock
from lguest_py.errors import LguestError, UsageError
from lguest_py.images.image import Image
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.measurements.row import CYCLES, INSTRUCTIONS, MILLISECONDS, Row
from lguest_py.shared_memory.mailbox import Snapshot

SECONDS: Final = 300.0  # limit for one machine, which takes one or two
MEMORY: Final = 64 << 20
Machine = Literal["tiny", "traced", "host", "native", "command"]  # "traced": the tiny Guest; "command": lguest-py boot
TRACED: Final = "-traced"  # what the name of a row has behind the operation's


@dataclass(frozen=True)
class Measurement:
    """One measurement.  ``operations``: per sample.  ``engine``, ``switcher``: the only one that has it, or ""."""

    description: str
    group: str
    machine: Machine
    operations: int = 1
    where: str = "guest"
    engine: str = ""
    switcher: str = ""


def _step(description: str, switcher: str = "") -> Measurement:
    return Measurement(description, "step", "host", where="host", switcher=switcher)


M = Measurement
MEASUREMENTS: Final = {
    "null-switch": M("Host kernel to an int in ring 1, and back", "switch", "host", where="host"),
    "step-stack": _step("the stack pointer, kept and loaded"),
    "step-gdt": _step("lgdt", "classic"),
    "step-idt": _step("lidt", "classic"),
    "step-tss": _step("ltr, with the busy bit cleared first", "classic"),
    "step-cr3": _step("a load of CR3, nothing touched behind it"),
    "step-refill": _step("four pages touched behind a load of CR3: Switcher's text, stack, state; Host's data"),
    "step-segments": _step("ds, es, fs and gs loaded"),
    "step-int": _step("int, from ring 0 to ring 0"),
    "step-iret": _step("iret, from ring 0 to ring 0"),
    "floor": M("int and iret between rings 1 and 0 with two loads of CR3", "switch", "host", where="host"),
    "hypercall-bare": M("the null hypercall, from the Guest in which floor is measured", "switch", "host"),
    "hypercall": M("the null hypercall (FLUSH_ASYNC, nothing waits)", "switch", "tiny"),
    "hypercall-switch": M("a null hypercall that is always a world switch (SEND_INTERRUPTS)", "switch", "tiny"),
    "hypercall-switch-traced": M("the same, while it is traced (docs/trace.md)", "switch", "traced"),
    "ring-1": M("an entry of the asynchronous ring written, and the call that has it drained", "switch", "tiny"),
    "ring-64": M("an entry, where 64 are written and drained at once", "switch", "tiny", operations=64),
    "system-call": M("int 0x80 from ring 3 to the kernel and iret back: direct", "inside", "tiny"),
    "fault-reflected": M("a page fault to the Guest's handler, and back behind it", "switch", "tiny"),
    "fault-reflected-inside": M("a program's page fault, handed to the Guest's handler by the Switcher, and back",
                                   "inside", "tiny", switcher="lean"),
    "fault-filled": M("the first touch of a page that the Guest's tables map", "switch", "tiny"),
    "fault-filled-traced": M("the same, while it is traced", "switch", "traced"),
    "fpu-trap": M("the first FPU instruction under TS: trap 7, TS off in its handler, and again", "switch", "tiny"),
    "interrupt": M("the clock's, from the last instruction before it to its handler's first", "switch", "tiny"),
    "timer-lateness": M("from when the clock was to fire to its handler's first instruction", "switch", "tiny"),
    "flush-user": M("FLUSH_TLB(0), 256 user pages in 4 tables, 512 of the kernel's in use", "switch", "tiny"),
    "flush-all": M("FLUSH_TLB(1), the same, and 3 more address spaces like it", "switch", "tiny"),
    "directory-cached": M("NEW_PGTABLE to one of 4 such directories that the Host knows", "switch", "tiny"),
    "directory-stale": M("the same, the first time behind a FLUSH_TLB(1)", "switch", "tiny"),
    "directory-new": M("NEW_PGTABLE to one that the Host does not know, its cache full", "switch", "tiny"),
    "native-cli": M("cli", "native-personality", "native"),
    "native-sti": M("sti", "native-personality", "native"),
    "native-iret": M("iret to a program", "native-personality", "native"),
    "native-iret-kernel": M("iret within the kernel", "native-personality", "native"),
    "native-in": M("in, of a register of the serial port that does nothing", "native-personality", "native"),
    "native-out": M("out, to the same", "native-personality", "native"),
    "native-cr3": M("a load of CR3, of two small directories in turn", "native-personality", "native"),
    "exit-kvm": M("an exit that KVM answers itself (cpuid)", "wall", "host", where="host", engine="kvm"),
    "exit-python": M("an exit to the Launcher and back (out)", "wall", "host", where="launcher", engine="kvm"),
    "doorbell": M("a NOTIFY that waits for the Launcher: doorbell, Python, interrupt", "wall", "tiny",
                     where="launcher"),
    "prompt": M("lguest-py boot, from the command to the tiny Guest's prompt", "wall", "command", where="launcher"),
}  # fmt: skip
MICRO: Final = {name: what.description for name, what in MEASUREMENTS.items()}


def micro_rows(engine: str, switcher: str, counted: bool, names: Sequence[str]) -> list[Row]:
    """Measure ``names`` (of MICRO; none: all) once, on ``engine`` ("auto", "kvm", "tcg") with this Switcher.

    ``counted``: in instructions, on the tcg engine; rows of group "wall" are left out then, and so is what the engine
    does not have.  A row that the Switcher answered by itself has the group "inside".  Raises LguestError.
    """
    from lguest_py.bench.counting import choose, parse_switcher

    if unknown := [name for name in names if name not in MEASUREMENTS]:
        raise UsageError(f"there is no measurement {unknown[0]!r}: give one of {', '.join(MEASUREMENTS)}")
    chosen = parse_switcher(switcher)
    name = choose(engine, counted).name
    wanted = {
        key: what
        for key, what in MEASUREMENTS.items()
        if (key in names or not names)
        and what.engine in ("", name)
        and what.switcher in ("", switcher)
        and not (counted and what.group == "wall")
    }
    rows: dict[str, Row] = {}
    if "prompt" in wanted:
        rows["prompt"] = _prompt(name)
    machines: tuple[Machine, ...] = ("host", "tiny", "traced", "native")
    for machine in machines:
        on_machine = {key: what for key, what in wanted.items() if what.machine == machine}
        if on_machine:
            rows |= _measure(machine, engine, chosen, counted, on_machine)
    return [rows[key] for key in wanted]


def _prompt(engine: str) -> Row:
    from lguest_py.bench.prompt import prompt_samples

    return Row("prompt", "wall", MEASUREMENTS["prompt"].where, "", MILLISECONDS, prompt_samples(engine))


def _measure(
    machine: Machine, engine: str, switcher: Switcher, counted: bool, wanted: dict[str, Measurement]
) -> dict[str, Row]:
    from lguest_py.bench.counting import ADVICE

    if machine == "traced":
        wanted = {key.removesuffix(TRACED): what for key, what in wanted.items()}
    text, snapshot = _run(machine, engine, switcher, counted, wanted)
    printed = parse(text)
    samples = subtract_clock(printed, {key: what.operations for key, what in wanted.items()})
    rows = {}
    for key, what in wanted.items():
        if not samples.get(key):
            raise LguestError(f"{key} was not measured: {ADVICE}")
        counts = printed.counts.get(key, {})
        group = "inside" if counts.get("answered") and what.group == "switch" else what.group
        name = key + TRACED if machine == "traced" else key
        rows[name] = Row(
            name,
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
    machine: Machine, engine: str, switcher: Switcher, counted: bool, wanted: dict[str, Measurement]
) -> tuple[str, Snapshot]:
    """Boot one of the three machines; its console output."""
    from lguest_py.bench.counting import choose, run_machine
    from lguest_py.launcher.launcher import Settings
    from lguest_py.launcher.tracing import Tracing

    choice = choose(engine, counted, "host_bench.bin" if machine == "host" else "")
    words = _words(machine, wanted)
    settings = Settings(_image(machine), MEMORY, words, restart=False, timeout=SECONDS, switcher=switcher)
    tracing = Tracing()
    if machine == "traced":
        tracing.add(_Nobody())
    return run_machine(settings, choice.make, tracing)


class _Nobody:
    """Who reads a trace and does nothing with it (lguest_py.launcher.tracing.Sink)."""

    room = 1 << 30

    def write(self, data: bytes) -> None:
        """See Sink."""


def _words(machine: Machine, wanted: dict[str, Measurement]) -> str:
    if machine in ("tiny", "traced"):
        return f"run=bench {' '.join(wanted)}"
    return "wall" if any(what.group == "wall" for what in wanted.values()) else ""


def _image(machine: Machine) -> Image:
    from lguest_py.images.elf import read_elf
    from lguest_py.launcher.vm_memory import built

    if machine == "host":  # it contains its Guest
        return Image("none", "none", 0, (), b"", None, 1)
    path = built("native_bench.elf" if machine == "native" else "guest.elf")
    with path.open("rb") as file:
        elf = read_elf(file, path.stat().st_size, path.name)
    return Image(
        str(path), "ELF", elf.entry, elf.segments, b"", None, 1,
        personality="native" if machine == "native" else "lguest",
    )  # fmt: skip
