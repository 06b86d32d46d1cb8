# SPDX-License-Identifier: GPL-2.0-or-later
"""One screen of the terminal's view, as lines of rich text that fit.

terminal.py shows it, docs/pictures/watch.py draws it.  Left the instructions with their comments, right the machine,
below the why.  A narrow screen has one above the other.
Colours are never the only sign: what is whose stands there in words.
Read next: steps.py, terminal.py.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from lguest_py.watch.record import PHASES, Stack, Step
from lguest_py.watch.steps import Reader, View

NARROW: Final = 72  # columns
LEAST: Final = 5  # rows of instructions on a low or narrow screen
WHY_ROWS: Final = 4
OWNED: Final = {"cr3": "page tables", "gdt": "GDT", "idt": "IDT", "tss": "TSS"}
COLOURS: Final = {"Host": "red", "Guest": "yellow", "both": "magenta"}
BY: Final = {"CPU": "green", "Switcher": "magenta", "Host kernel": "red"}
PHASE_COLOURS: Final = {"guest": "yellow", "exit": "magenta", "host": "red", "entry": "magenta", "fast": "magenta"}
FLAG_IF: Final = 0x200
KEYS: Final = (
    "→ ↓ space    one instruction forward",
    "← ↑          one back",
    "page down    to the next phase",
    "page up      to the one before",
    "home, end    to the first step, to the last",
    "w            show or hide the why",
    "b            the next view, where both Switchers were recorded",
    "q            leave",
    "",
    "What is shown beside an instruction is how things are after it.",
    "any key goes back",
)
Lines = list[Text]


def _fit(text: Text, width: int) -> Text:
    """Exactly so many columns."""
    fitted = text.copy()
    fitted.truncate(width, overflow="ellipsis")
    fitted.pad_right(max(0, width - cell_len(fitted.plain)))
    return fitted


def _beside(parts: list[tuple[Lines, int]], rows: int) -> Lines:
    """Columns next to each other, each with its width, and a line between."""
    found = []
    for line in zip_longest(*(lines[:rows] for lines, _ in parts), fillvalue=Text()):
        whole = Text()
        for (_, width), text in zip(parts, line, strict=True):
            if whole.plain:
                whole.append("│", "dim")
            whole.append_text(_fit(text, width))
        found.append(whole)
    return found


def _wrapped(text: str, width: int, style: str = "") -> Lines:
    import textwrap

    return [Text(line, style) for line in textwrap.wrap(text, max(width, 10))]


def _code(step: Step | None, here: bool, note: bool) -> Text:
    if step is None:
        return Text("   —", "dim")
    line = Text.assemble(("▶ " if here else "  ", "bold"))
    line.append(step.code, "bold reverse" if here else "" if step.file else "italic")
    if note and step.note:
        line.append(f"  {step.note}", "dim")
    return line


def _list(view: View, row: int, width: int, rows: int) -> Lines:
    """The instructions around the present one."""
    lines: Lines = []
    present, phase = 0, ""
    each = (width - len(view.records) + 1) // len(view.records)
    for number in range(len(view.rows)):
        first = view.first(number)
        if first.phase != phase:
            phase = first.phase
            lines.append(Text(PHASES[first.phase], f"bold {PHASE_COLOURS[phase]}"))
        if number == row:
            present = len(lines)
        cells = [_code(step, number == row, len(view.records) == 1) for step in view.steps(number)]
        lines += _beside([([cell], each) for cell in cells], 1) if len(cells) > 1 else cells
    top = max(0, min(present - rows // 2, len(lines) - rows))
    return lines[top : top + rows]


def _owners(step: Step, changed: set[str]) -> Lines:
    found = []
    for name, text in OWNED.items():
        owner = step.owners[name]
        line = Text(f"{text:<12}")
        line.append(f"{owner if owner == 'both' else owner + chr(39) + 's':<8}", f"bold {COLOURS[owner]}")
        line.append(f"{step.state[name]:08x}", "reverse" if name in changed else "")
        found.append(line)
    return found


def _place(step: Step) -> Text:
    ring = step.state["cs"] & 3
    name = {1: "the Guest's kernel", 3: "the Guest's program"}.get(ring, "")
    if not name:
        name = "the Host kernel" if step.state["eip"] < 0xFFC00000 else "the Switcher"
    line = Text.assemble((f"ring {ring}  ", "bold"))
    line.append(name)
    line.append("" if step.state["eflags"] & FLAG_IF else "  interrupts wait", "dim")
    return line


def _changes(step: Step) -> Lines:
    found = []
    for change in step.changes:
        line = Text.assemble((f"{change.name:<7}", "bold"))
        line.append(f"{change.new:08x}", "reverse")
        line.append(f" ← {change.old:08x}", "dim")
        found.append(line)
    return found or [Text("no register", "dim")]


def _stack(stack: Stack, esp: int, rows: int) -> Lines:
    """The words, and where esp is; around esp where not all have room."""
    lines: Lines = []
    at = 0
    for word in stack.words:
        if word.address == esp:
            at = len(lines)
        faded = " dim" if word.address < esp else ""
        line = Text.assemble((f"{word.address:08x} ", "dim"))
        line.append(f"{word.label or '·':<14.14} ", BY.get(word.by, "") + faded)
        line.append(f"{word.value:08x}", "reverse" if word.new else faded.strip())
        line.append(" ◀ esp" if word.address == esp else "", "bold")
        lines.append(line)
    if stack.words and esp > stack.words[0].address:
        lines.insert(0, Text(f"{esp:08x} {'':<23} ◀ esp", "bold"))
    top = max(0, min(at - rows + 2, len(lines) - rows))
    return lines[top : top + rows]


def _machine(step: Step | None, rows: int, waits: bool = False) -> Lines:
    """All of the machine that has room."""
    if step is None:
        return []
    changed = set() if waits else {change.name for change in step.changes}
    lines = [_place(step), *_owners(step, changed), Text("changed:" if not waits else "nothing here", "dim")]
    if not waits:
        lines += _changes(step)
    left = rows - len(lines) - 1
    if left > 1:
        lines.append(Text(step.stack.name, "dim"))
        lines += _stack(step.stack, step.state["esp"], left)
    return lines[:rows]


def _machines(reader: Reader, width: int, rows: int) -> Lines:
    view = reader.view
    each = (width - len(view.records) + 1) // len(view.records)
    sides = []
    for side, record in enumerate(view.records):
        waits = view.steps(reader.row)[side] is None
        lines = _machine(view.last(reader.row, side), rows - (len(view.records) > 1), waits)
        if len(view.records) > 1:
            lines.insert(0, Text(record.switcher, "bold underline"))
        sides.append((lines, each))
    return _beside(sides, rows) if len(sides) > 1 else sides[0][0]


def _phases(view: View, row: int, width: int) -> Text:
    """A bar of the phases, as far as the reader has come."""
    line = Text()
    for phase, start, end in view.phases():
        here = start <= row < end
        how = "reverse bold" if here else "dim" if row < start else ""
        line.append(f" {PHASES[phase]} ", f"{how} {PHASE_COLOURS[phase]}")
        line.append(" ")
    return _fit(line, width)


def _why(reader: Reader, width: int, rows: int) -> Lines:
    step = reader.view.first(reader.row)
    lines = [Text("─" * width, "dim")]
    lines += _wrapped(step.did, width) if step.did else []
    if reader.why:
        lines += _wrapped(step.why, width, "italic")
        if step.file:
            lines.append(Text(f"{step.file}:{step.line}", "dim"))
    return lines[: rows + 1]


def screen(reader: Reader, width: int, height: int) -> Lines:
    """Exactly ``height`` lines of at most ``width`` columns."""
    view, record = reader.view, reader.view.records[0]
    count = f" {reader.row + 1}/{len(view.rows)}"
    name = record.switcher if len(view.records) == 1 else "both Switchers"
    head = set_cell_size(f"{record.cause} · {name}", max(0, width - len(count))) + count
    lines = [Text(head[:width], "bold"), _phases(view, reader.row, width)]
    if reader.help:
        body = [Text(line) for line in KEYS]
    else:
        why = _why(reader, width, max(1, min(WHY_ROWS + (height > 30) * 2, height // 4)))
        rows = max(1, height - len(lines) - len(why) - 1)
        if width < NARROW:
            least = min(LEAST, rows)
            body = [*_list(view, reader.row, width, least), *_machines(reader, width, rows - least)]
        elif len(view.records) > 1:
            least = max(LEAST, rows - 18)
            body = [*_list(view, reader.row, width, least), *_machines(reader, width, rows - least)]
        else:
            right = min(48, width // 2)
            left = width - right - 1
            machine = _machine(view.first(reader.row), rows)
            body = _beside([(_list(view, reader.row, left, rows), left), (machine, right)], rows)
        body = [*body[:rows], *[Text()] * (rows - len(body)), *why]
    lines += body
    lines = [_fit(line, width) for line in lines[: height - 1]]
    lines += [Text()] * (height - 1 - len(lines))
    keys = " ←/→ step  PgUp/PgDn phase  w why  ? keys  q leave"
    if len(reader.views) > 1:
        keys = keys.replace("  ?", "  b view  ?")
    return [*lines, _fit(Text(keys, "dim"), width)][-height:]
