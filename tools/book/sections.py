# SPDX-License-Identifier: GPL-2.0-or-later
"""Cut a source file into what its comments tell and what its code does, in the order of the file.

A comment of its own that stands before code becomes prose: in C and assembly one that begins at the left margin, in
Python a docstring of a module, class, function or method, or lines of comment before one.  One line before a few lines
of code stays there, or there would be more captions than code.  All other comments stay in the code, too.  Every line
of the file is in one of prose, code and left_out.

Read next: order.py, which reads the tags in a file's first comment; prose.py, which writes the text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

FEW = 8  # lines of code
LEFT_OUT = re.compile(r"\s*#\s*include\b|\s*(from\s+[\w.]+\s+)?import\s|/\*\s*SPDX|#\s*SPDX|#!|from __future__")


@dataclass(frozen=True)
class Section:
    """Prose, without the signs of a comment, and the code behind it; each with the numbers of its lines."""

    prose: str
    prose_lines: tuple[int, ...]
    code: tuple[int, ...]  # from its first line to its last, without those that are prose or left out


@dataclass(frozen=True)
class Cut:
    """A file in pieces.  The first section is the file's own comment, with whatever comes before the next one."""

    lines: tuple[str, ...]
    sections: tuple[Section, ...]
    left_out: tuple[int, ...]  # licence, includes, imports, the guard of a header, blank lines at the ends of code

    @property
    def head(self) -> str:
        """What the file says about itself."""
        return self.sections[0].prose if self.sections else ""


@dataclass(frozen=True)
class _Comment:
    first: int  # line numbers, from 1
    last: int
    text: str


def _unmarked(lines: list[str]) -> str:
    """The text of a C comment."""
    text = "\n".join(lines).strip()[2:-2]
    return "\n".join(re.sub(r"^ \*(?: |$|(?=\t))", "", line) for line in text.split("\n")).strip()


def _c_comments(lines: list[str]) -> Iterator[_Comment]:
    number = 0
    while number < len(lines):
        if not lines[number].startswith("/*"):
            number += 1
            continue
        first = number
        while "*/" not in lines[number]:
            number += 1
        if lines[number].rstrip().endswith("*/") and "SPDX-License" not in lines[number]:
            yield _Comment(first + 1, number + 1, _unmarked(lines[first : number + 1]))
        number += 1


def _guard(lines: list[str]) -> set[int]:
    """The lines of a header's guard."""
    for number, line in enumerate(lines[:-1], 1):
        name = re.match(r"#ifndef (\w+)$", line)
        if name and lines[number] == f"#define {name[1]}":
            last = max(at for at, text in enumerate(lines, 1) if text.startswith("#endif"))
            return {number, number + 1, last}
        if line and not line.startswith(("/*", " *")):
            break
    return set()


def _docstring(node: ast.AST) -> ast.Expr | None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return None
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first
    return None


def _told(tree: ast.Module) -> Iterator[tuple[int, ast.Expr | None]]:
    """(first line, docstring) of each class, function and method, by rising line."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        for each in (node, *inner):
            if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield min([each.lineno, *(one.lineno for one in each.decorator_list)]), _docstring(each)


@dataclass(frozen=True)
class _Piece:
    start: int  # here the section begins
    prose_lines: tuple[int, ...]
    text: str


def _python_pieces(lines: list[str]) -> Iterator[_Piece]:
    tree = ast.parse("\n".join(lines))
    if (own := _docstring(tree)) and own.end_lineno:
        yield _Piece(own.lineno, tuple(range(own.lineno, own.end_lineno + 1)), ast.get_docstring(tree) or "")
    told = dict(_told(tree))
    inside = {  # lines of anything but a class or what stands in the module itself
        number
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.Expr | ast.AnnAssign)
        for number in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    }
    number = 1
    while number <= len(lines):
        first = number
        while number <= len(lines) and re.match(r"(    )?# ", lines[number - 1]) and number not in inside:
            number += 1
        comment = list(range(first, number))
        if any("SPDX-License" in lines[each - 1] for each in comment):
            continue
        docstring = told.get(number)
        if not comment and not docstring:
            number += 1
            continue
        text = [" ".join(lines[each - 1].strip().removeprefix("# ") for each in comment)] if comment else []
        prose = list(comment)
        if docstring and docstring.end_lineno:
            assert isinstance(docstring.value, ast.Constant)
            text.append(_clean(str(docstring.value.value)))
            prose += range(docstring.lineno, docstring.end_lineno + 1)
        yield _Piece(first, tuple(prose), "\n\n".join(text))
        number += 1


def _clean(docstring: str) -> str:
    first, _, rest = docstring.strip().partition("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest.split("\n") if line.strip()), default=0)
    return "\n".join([first.strip(), *(line[margin:].rstrip() for line in rest.split("\n"))]).strip()


def _pieces(name: str, lines: list[str]) -> list[_Piece]:
    if name.endswith(".py"):
        return list(_python_pieces(lines))
    return [_Piece(each.first, tuple(range(each.first, each.last + 1)), each.text) for each in _c_comments(lines)]


def _without_small(pieces: list[_Piece], lines: list[str]) -> list[_Piece]:
    kept = []
    for number, piece in enumerate(pieces):
        end = pieces[number + 1].start if number + 1 < len(pieces) else len(lines) + 1
        code = sum(bool(lines[each - 1].strip()) for each in range(piece.start, end)) - len(piece.prose_lines)
        if not number or len(piece.prose_lines) > 1 or code >= FEW:
            kept.append(piece)
    return kept


def _hidden(name: str, lines: list[str]) -> set[int]:
    """Licence, includes, imports, and a header's guard."""
    if not name.endswith(".py"):
        return {at for at, line in enumerate(lines, 1) if LEFT_OUT.match(line)} | _guard(lines)
    hidden = {at for at, line in enumerate(lines[:2], 1) if line.startswith(("#!", "# SPDX"))}
    for node in ast.parse("\n".join(lines)).body:
        for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if isinstance(node, ast.Import | ast.ImportFrom) or for_types:
            hidden |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return hidden


def cut(name: str, text: str) -> Cut:
    """Cut the file of this name and text.  Raises SyntaxError for a Python file that is none."""
    lines = text.splitlines()
    pieces = _pieces(name, lines)
    if not pieces or any(line.strip() for line in lines[: pieces[0].start - 1] if not LEFT_OUT.match(line)):
        pieces.insert(0, _Piece(1, (), ""))
    hidden = _hidden(name, lines)
    pieces = _without_small(pieces, lines)
    used = {number for piece in pieces for number in piece.prose_lines}
    left_out = {number for number in range(1, len(lines) + 1) if number in hidden or number < pieces[0].start}
    sections = []
    for piece, following in zip(pieces, [*(each.start for each in pieces[1:]), len(lines) + 1], strict=True):
        code = [each for each in range(piece.start, following) if each not in used and each not in hidden]
        while code and not lines[code[0] - 1].strip():
            left_out.add(code.pop(0))
        while code and not lines[code[-1] - 1].strip():
            left_out.add(code.pop())
        sections.append(Section(piece.text, piece.prose_lines, tuple(code)))
    return Cut(tuple(lines), tuple(sections), tuple(sorted(left_out)))
