# SPDX-License-Identifier: GPL-2.0-or-later
"""The reading order of the sources, from tags in the first comments of the files.

    Next in the book: lean.S.         each file but the last; a path from its own folder or from the root
    The book ends here.               the last file
    Chapter: The Switcher.  WORDS     a paragraph of its own: with this file a chapter begins, and what it is about
    Picture: docs/pictures/rings.svg. shown below the file's comment

Every file of the trees is in this order, or left_out.toml says why it is not.  BookError names all that is wrong with
it.

Read next: sections.py, which cuts the files; page.py, which writes the book.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from book.sections import Cut, cut

TREES = ("examples", "guest_kernel", "host_kernel", "lguest_py", "switcher")
SUFFIXES = (".py", ".c", ".h", ".S")
CORE = (  # folders of which each file that is left out is named
    *(
        f"host_kernel/{room}"
        for room in ("base", "core", "instruction", "lguest", "machine", "memory", "native", "pci")
    ),
    *("lguest_py/engines", "lguest_py/launcher", "switcher", "switcher/layouts"),
)
GENERATED = ("_layouts.py", "_kvm.c")  # not there in a clean tree
LEFT_OUT = Path(__file__).with_name("left_out.toml")
NEXT = re.compile(r"\bNext\s+in\s+the\s+book:\s+([\w./-]*[\w/-])\.(?=\s|$)")
ANY_NEXT = re.compile(r"\bNext\s+in\s+the\s+book\b")
END = re.compile(r"\bThe\s+book\s+ends\s+here\.")
CHAPTER = re.compile(r"(?:^|\n\n)Chapter:[ ]*([^.\n]*)\.((?:(?!\n\n).)*)", re.S)
ANY_CHAPTER = re.compile(r"^Chapter\b", re.M)
PICTURE = re.compile(r"\bPicture:\s+([\w./-]*[\w-])\.(?=\s|$)")
ASIDE = re.compile(r"\b(Read\s+before|Read\s+next|Sources?):\s")


class BookError(Exception):
    """What is wrong with the reading order, each in one line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Entry:
    """A file of the book.  ``chapter``: the title and the text of one that begins here."""

    path: str
    cut: Cut
    chapter: tuple[str, str] | None
    picture: str | None
    text: str  # what the file says about itself
    asides: tuple[tuple[str, str], ...]  # ("Read next", "shadow.c."), ("Source", "Intel SDM vol. 3, 4.3.")
    following: str | None


def files(root: Path) -> list[str]:
    """Every source file of the trees, sorted."""
    every = (path for tree in TREES for path in (root / tree).rglob("*") if path.suffix in SUFFIXES)
    found = (path for path in every if path.is_file() and not path.name.startswith("."))  # no editor's locks
    names = (path.relative_to(root).as_posix() for path in found)
    return sorted(name for name in names if not name.endswith(GENERATED) and "/build/" not in name)


def resolve(root: Path, origin: str, name: str) -> str | None:
    """The file that ``origin`` means by ``name``: beside it, or from the root."""
    for base in (Path(origin).parent, Path(), Path(origin).parent.parent):
        path = base / name
        if ".." not in path.parts and not name.endswith(GENERATED) and (root / path).is_file():
            return path.as_posix()
    return None


def _asides(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The text without its pointers, and these.  A pointer goes to the next one or to the end of its paragraph."""
    kept, asides = [], []
    for paragraph in text.split("\n\n"):
        marks = list(ASIDE.finditer(paragraph))
        kept.append(paragraph[: marks[0].start()] if marks else paragraph)
        ends = [each.start() for each in marks[1:]]
        for mark, end in zip(marks, [*ends, len(paragraph)], strict=False):  # without marks, none
            asides.append((" ".join(mark[1].split()), " ".join(paragraph[mark.end() : end].split())))
    return "\n\n".join(each.strip("\n").rstrip() for each in kept if each.strip()), tuple(asides)


def _entry(root: Path, path: str, text: str, problems: list[str]) -> Entry:
    pieces = cut(path, text)
    head = pieces.head
    pointers, ends = NEXT.findall(head), END.findall(head)
    if len(pointers) + len(ends) != 1 or len(ANY_NEXT.findall(head)) != len(pointers):
        problems.append(f"{path}: its first comment must have one 'Next in the book: FILE.', or 'The book ends here.'")
    following = resolve(root, path, pointers[0]) if pointers else None
    if pointers and not following:
        problems.append(f"{path}: the next in the book, {pointers[0]}, does not exist")
    chapters = CHAPTER.findall(head)
    if len(chapters) != len(ANY_CHAPTER.findall(head)) or len(chapters) > 1:
        problems.append(f"{path}: 'Chapter: TITLE.' must be once and begin a paragraph")
    if any(not title.strip() or not words.strip() for title, words in chapters):
        problems.append(f"{path}: a chapter begins here without a title or without text")
    pictures = [resolve(root, "", each) for each in PICTURE.findall(head)]
    if None in pictures or len(pictures) > 1:
        problems.append(f"{path}: its picture does not exist, or it has two")
    for tag in (CHAPTER, NEXT, END, PICTURE):
        head = tag.sub("", head)
    words, asides = _asides(head)
    if not words.strip():
        problems.append(f"{path}: it is in the book, and its first comment has no text")
    chapter = (chapters[0][0].strip(), chapters[0][1].strip()) if chapters else None
    return Entry(path, pieces, chapter, pictures[0] if pictures else None, words.strip(), asides, following)


def _tagged(root: Path, problems: list[str]) -> dict[str, Entry]:
    entries = {}
    for path in files(root):
        try:
            text = (root / path).read_text(encoding="utf-8")
            if path.endswith(".py"):
                ast.parse(text)
        except (UnicodeDecodeError, SyntaxError) as error:
            problems.append(f"{path}: it cannot be read: {error}")
            continue
        if ANY_NEXT.search(text) or END.search(text):
            entries[path] = _entry(root, path, text, problems)
            if not (ANY_NEXT.search(entries[path].cut.head) or END.search(entries[path].cut.head)):
                problems.append(f"{path}: the tag of the book is not in its first comment")
        elif re.search(r"^(?: \*|/\*|\"\"\")? ?Chapter: ", text, re.M):
            problems.append(f"{path}: a chapter begins in a file that does not say which is the next in the book")
    return entries


def _chain(entries: dict[str, Entry], problems: list[str]) -> list[Entry]:
    before: dict[str, list[str]] = {}
    for entry in entries.values():
        if entry.following:
            before.setdefault(entry.following, []).append(entry.path)
    for path, origins in sorted(before.items()):
        if len(origins) > 1:
            problems.append(f"{path}: it is the next of two files, {' and '.join(origins)}")
        if path not in entries:
            problems.append(f"{path}: {origins[0]} names it as the next, and it does not say what follows it")
    firsts = [path for path in entries if path not in before]
    if len(firsts) != 1:
        why = f"no file leads to these, and only one can begin the book: {', '.join(firsts)}"
        none = "its files form a circle" if entries else "no file has a tag"
        problems.append(why if firsts else f"nothing begins the book: {none}")
    chain: list[Entry] = []
    at: str | None = firsts[0] if firsts else None
    while at in entries and entries[at] not in chain:
        chain.append(entries[at])
        at = entries[at].following
    if len(firsts) == 1:
        problems += [f"{path}: the book does not come to it" for path in entries if entries[path] not in chain]
    return chain


def left_out(file: Path = LEFT_OUT) -> Iterator[tuple[str, str]]:
    """(pattern, reason) of the files that are not in the book."""
    for group in tomllib.loads(file.read_text(encoding="utf-8"))["left_out"]:
        for pattern in group["files"]:
            yield pattern, group["why"]


def _matches(path: str, pattern: str) -> bool:
    parts = (re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split("**"))
    return re.fullmatch(".*".join(parts), path) is not None


def _covered(root: Path, chain: list[Entry], rows: list[tuple[str, str]], problems: list[str]) -> None:
    there, inside = files(root), {entry.path for entry in chain}
    used = set()
    for path in there:
        matching = [pattern for pattern, _ in rows if _matches(path, pattern)]
        used |= set(matching)
        by_name = path in matching
        if path in inside and by_name:
            problems.append(f"{path}: it is in the book, and {LEFT_OUT.name} leaves it out")
        if path not in inside and Path(path).parent.as_posix() in CORE and not by_name:
            problems.append(f"{path}: it is not in the book, and {LEFT_OUT.name} does not name it with a reason")
        elif path not in inside and not matching:
            problems.append(f"{path}: it is not in the book, and {LEFT_OUT.name} does not say why")
    for pattern, reason in rows:
        if pattern not in used:
            problems.append(f"{LEFT_OUT.name}: {pattern!r} leaves out nothing")
        if not reason.strip():
            problems.append(f"{LEFT_OUT.name}: {pattern!r} has no reason")


def reading_order(root: Path, rows: list[tuple[str, str]] | None = None) -> list[Entry]:
    """The files of the book.  Raises BookError for each gap in it."""
    problems: list[str] = []
    entries = _tagged(root, problems)
    chain = _chain(entries, problems)
    if chain and not chain[0].chapter:
        problems.append(f"{chain[0].path}: the book begins here, and no chapter does")
    titles = [entry.chapter[0] for entry in chain if entry.chapter]
    problems += [f"two chapters are called {title!r}" for title in sorted(set(titles)) if titles.count(title) > 1]
    _covered(root, chain, list(left_out()) if rows is None else rows, problems)
    if problems:
        raise BookError(problems)
    return chain
