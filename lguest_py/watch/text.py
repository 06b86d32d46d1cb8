# SPDX-License-Identifier: GPL-2.0-or-later
"""A record as plain text, for a pipe, a file or a screen reader.  Read next: page.py, terminal.py."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from lguest_py.watch.beside import rows
from lguest_py.watch.record import PHASES, Record, Step

WIDTH = 100
INDENT = " " * 19
HALF = 58


def owners(step: Step) -> str:
    """Whose page tables, GDT, IDT and TSS the CPU has, in a letter each."""
    return "".join(step.owners[name][0] for name in ("cr3", "gdt", "idt", "tss")).upper()


def changes(step: Step) -> str:
    """The registers that changed."""
    return ", ".join(f"{each.name} {each.old:#x} → {each.new:#x}" for each in step.changes)


def title(record: Record) -> str:
    """What was recorded, where."""
    return f"{record.cause}: {record.image}, Switcher {record.switcher}, engine {record.engine}"


def _wrapped(text: str, prefix: str = "") -> Iterator[str]:
    yield from textwrap.wrap(text, WIDTH, initial_indent=INDENT + prefix, subsequent_indent=INDENT + " " * len(prefix))


def _steps(record: Record) -> Iterator[str]:
    phase, why = "", ""
    for number, step in enumerate(record.steps, 1):
        if step.phase != phase:
            phase = step.phase
            yield f"\n{PHASES[step.phase]}"
        if step.why and step.why != why:
            yield ""
            yield from _wrapped(step.why, "# ")
        why = step.why
        note = f"    /* {step.note} */" if step.note else ""
        yield f"{number:4}  ring {step.ring}  {owners(step)}  {step.code}{note}"
        for text in (step.did, changes(step)):
            if text:
                yield from _wrapped(text)


def plain(record: Record) -> str:
    """All of it."""
    legend = "Whose page tables, GDT, IDT and TSS the CPU has then: H the Host's, G the Guest's, B both use it."
    lines = [title(record), record.summary, *([record.end] if record.end else []), legend, *_steps(record)]
    return "\n".join(lines) + "\n"


def _half(record: Record, number: int | None) -> str:
    if number is None:
        return ""
    step = record.steps[number]
    return f"{number + 1:3} {step.ring} {owners(step)} {step.code}"[:HALF]


def plain_beside(left: Record, right: Record) -> str:
    """Both: their instructions next to each other."""
    lines = [title(left), left.summary, title(right), right.summary, "", "step, ring, owners, instruction"]
    lines.append(f"{left.switcher:<{HALF}} {right.switcher}".rstrip())
    for one, other in rows(left, right):
        lines.append(f"{_half(left, one):<{HALF}} {_half(right, other)}".rstrip())
    return "\n".join(lines) + "\n"
