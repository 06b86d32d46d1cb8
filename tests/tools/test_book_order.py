# SPDX-License-Identifier: GPL-2.0-or-later
"""The reading order of the book (tools/book/order.py): the sources have one, and each kind of gap in it is found.

Read next: test_book_pages.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from book import order
from book.sections import cut

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND, LAST = "switcher/first.S", "host_kernel/core/second.c", "lguest_py/last.py"
TREE = {
    FIRST: "/* SPDX-License-Identifier */\n/*\n * Chapter: One. Of the start.\n *\n * The first file.\n"
    " * Next in the book: host_kernel/core/second.c.\n */\n\tnop\n",
    SECOND: "/* The second.  Read next: first.S.  Next in the book: lguest_py/last.py. */\nint x;\n",
    LAST: '"""The last.\n\nChapter: Two. Of\nthe end.\n\nThe book ends here.\n"""\n',
    "switcher/apart.h": "/* Not in it. */\n",
    "lguest_py/deep/below.py": '"""Nor this."""\n',
}
ROWS = [("switcher/apart.h", "declarations"), ("lguest_py/**", "the rest")]


def tree(root: Path, changes: dict[str, str | None]) -> Path:
    """TREE, with these files in place of its own; None: without it."""
    for name, text in {**TREE, **changes}.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return root


def test_the_sources_have_an_order_with_the_core_in_it() -> None:
    found = order.reading_order(ROOT)
    paths = [entry.path for entry in found]
    assert len(set(paths)) == len(paths) > 100
    for path in ("switcher/switcher.S", "switcher/lean.S", "host_kernel/core/run.c", "host_kernel/memory/shadow.c"):
        assert path in paths
    assert [entry.chapter[0] for entry in found if entry.chapter] == [
        *("Preparation", "The Guest", "Drivers", "The Launcher", "The Host", "The Switcher", "Mastery")
    ]
    assert all(entry.text for entry in found)


def test_a_small_tree_has_its_order(tmp_path: Path) -> None:
    found = order.reading_order(tree(tmp_path, {}), ROWS)
    assert [entry.path for entry in found] == [FIRST, SECOND, LAST]
    assert [entry.chapter for entry in found] == [("One", "Of the start."), None, ("Two", "Of\nthe end.")]
    assert [entry.text for entry in found] == ["The first file.", "The second.", "The last."]
    assert found[1].asides == (("Read next", "first.S."),)


SOUND = TREE[FIRST], TREE[SECOND], TREE[LAST]
GAPS: dict[str, tuple[dict[str, str | None], str]] = {
    "the next file is missing": ({SECOND: None}, f"{FIRST}: the next in the book, {SECOND}, does not exist"),
    "a pointer leads nowhere": (
        {SECOND: SOUND[1].replace("lguest_py/last.py", "none.py")},
        f"{SECOND}: the next in the book, none.py, does not exist",
    ),
    "a pointer leads out of the tree": (
        {SECOND: SOUND[1].replace("lguest_py/last.py", "../../../etc/passwd")},
        "../../../etc/passwd, does not exist",
    ),
    "two files name the same next": (
        {"switcher/more.c": "/* More.  Next in the book: host_kernel/core/second.c. */\n"},
        f"{SECOND}: it is the next of two files, {FIRST} and switcher/more.c",
    ),
    "a file has two pointers": (
        {SECOND: SOUND[1].replace(" */", "  Next in the book: lguest_py/last.py. */")},
        f"{SECOND}: its first comment must have one 'Next in the book: FILE.'",
    ),
    "a pointer without a file": (
        {SECOND: "/* The second.  Next in the book: */\n"},
        f"{SECOND}: its first comment must have one 'Next in the book: FILE.'",
    ),
    "a pointer to a file that does not go on": (
        {SECOND: "/* The second. */\n"},
        f"{SECOND}: {FIRST} names it as the next, and it does not say what follows it",
    ),
    "no end": ({LAST: SOUND[2].replace("The book ends here.", f"Next in the book: {FIRST}.")}, "form a circle"),
    "two beginnings": (
        {"switcher/more.c": "/* More.  The book ends here. */\n"},
        f"no file leads to these, and only one can begin the book: {FIRST}, switcher/more.c",
    ),
    "a circle beside the book": (
        {"switcher/a.c": "/* A.  Next in the book: b.c. */\n", "switcher/b.c": "/* B.  Next in the book: a.c. */\n"},
        "switcher/a.c: the book does not come to it",
    ),
    "a tag elsewhere than in the first comment": (
        {SECOND: "/* The second. */\nint x;\n/* Next in the book: lguest_py/last.py. */\n"},
        f"{SECOND}: the tag of the book is not in its first comment",
    ),
    "a chapter without text": (
        {FIRST: SOUND[0].replace("One. Of the start.", "One.")},
        f"{FIRST}: a chapter begins here without a title or without text",
    ),
    "a chapter without a title": (
        {FIRST: SOUND[0].replace("One. Of", ". Of")},
        f"{FIRST}: a chapter begins here without a title or without text",
    ),
    "a chapter in the middle of a paragraph": (
        {LAST: SOUND[2].replace("last.\n\nChapter", "last.\nChapter")},
        f"{LAST}: 'Chapter: TITLE.' must be once and begin a paragraph",
    ),
    "two chapters of one name": ({LAST: SOUND[2].replace("Two", "One")}, "two chapters are called 'One'"),
    "a chapter outside of the book": (
        {"switcher/apart.h": "/* Chapter: Three. Apart. */\n"},
        "switcher/apart.h: a chapter begins in a file that does not say which is the next in the book",
    ),
    "no chapter at the beginning": (
        {FIRST: SOUND[0].replace(" * Chapter: One. Of the start.\n *\n", "")},
        f"{FIRST}: the book begins here, and no chapter does",
    ),
    "a file without text": (
        {SECOND: "/* Read next: first.S.  Next in the book: lguest_py/last.py. */\n"},
        f"{SECOND}: it is in the book, and its first comment has no text",
    ),
    "a file that is no Python": ({LAST: SOUND[2] + "def\n"}, f"{LAST}: it cannot be read"),
    "a picture that is not there": (
        {SECOND: SOUND[1].replace("Next in", "Picture: docs/none.svg.  Next in")},
        f"{SECOND}: its picture does not exist",
    ),
    "a file of the core that is not in it": (
        {"host_kernel/core/new.c": "/* New. */\n"},
        "host_kernel/core/new.c: it is not in the book, and left_out.toml does not name it with a reason",
    ),
    "another file that is not in it": (
        {"guest_kernel/new.c": "/* New. */\n"},
        "guest_kernel/new.c: it is not in the book, and left_out.toml does not say why",
    ),
    "no tag at all": (dict.fromkeys((FIRST, SECOND, LAST)), "nothing begins the book: no file has a tag"),
}


@pytest.mark.parametrize("kind", GAPS)
def test_a_gap_is_found(kind: str, tmp_path: Path) -> None:
    changes, told = GAPS[kind]
    with pytest.raises(order.BookError) as caught:
        order.reading_order(tree(tmp_path, changes), ROWS)
    assert [each for each in caught.value.problems if told in each], caught.value.problems


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([*ROWS, ("guest_kernel/none.c", "gone")], "left_out.toml: 'guest_kernel/none.c' leaves out nothing"),
        ([*ROWS, (SECOND, "both")], f"{SECOND}: it is in the book, and left_out.toml leaves it out"),
        ([("switcher/*", "a pattern"), ROWS[1]], "switcher/apart.h: it is not in the book, and left_out.toml does not"),
        ([("switcher/apart.h", " "), ROWS[1]], "left_out.toml: 'switcher/apart.h' has no reason"),
        ([ROWS[0], ("lguest_py/*", "no folders")], "lguest_py/deep/below.py: it is not in the book"),
    ],
    ids=["nothing", "both", "a pattern in the core", "no reason", "not deep enough"],
)
def test_what_is_left_out_is_checked(rows: list[tuple[str, str]], told: str, tmp_path: Path) -> None:
    with pytest.raises(order.BookError) as caught:
        order.reading_order(tree(tmp_path, {}), rows)
    assert [each for each in caught.value.problems if told in each], caught.value.problems


def test_what_editors_leave_is_passed_over(tmp_path: Path) -> None:
    root = tree(tmp_path, {"switcher/.first.S": "", "switcher/first.S~": ""})
    (root / "switcher/.#first.S").symlink_to("somebody@somewhere")
    (root / "switcher/gone.S").symlink_to("nothing")
    assert len(order.reading_order(root, ROWS)) == 3


def test_every_line_of_every_file_is_text_or_code_or_left_out() -> None:
    for path in order.files(ROOT):
        pieces = cut(path, (ROOT / path).read_text())
        used = [number for part in pieces.sections for number in (*part.prose_lines, *part.code)] + [*pieces.left_out]
        missing = set(range(1, len(pieces.lines) + 1)) - set(used)
        assert not [number for number in missing if pieces.lines[number - 1].strip()], path
        assert len(used) == len(set(used)), path


def test_only_licence_includes_and_imports_are_left_out_of_the_book() -> None:
    for entry in order.reading_order(ROOT):
        lines = {entry.cut.lines[number - 1].strip() for number in entry.cut.left_out}
        if not entry.path.endswith(".py"):
            allowed = ("", "/* SPDX", "#include", "#ifndef ", "#define ", "#endif")
            assert not [line for line in lines if line and not line.startswith(allowed[1:])], entry.path
            assert len([line for line in lines if line.startswith("#define ")]) <= 1, entry.path
            continue
        code = [entry.cut.lines[number - 1] for section in entry.cut.sections for number in section.code]
        assert not [line for line in code if line.startswith(("import ", "from "))], entry.path


PYTHON = '''\
# SPDX-License-Identifier: GPL-2.0-or-later
"""What it is.

More of it.
"""

import os

# A number that
# counts.
NUMBER = 1


class Thing:
    """A thing
    of two lines."""

    def act(self) -> None:
        """Do it."""
        os.getpid()

    def long(self) -> None:
        """Do much of it, after
        all."""
        pass
'''


def test_a_python_file_in_pieces() -> None:
    pieces = cut("a.py", PYTHON)
    assert [section.prose for section in pieces.sections] == [
        *("What it is.\n\nMore of it.", "A number that counts."),
        *("A thing\nof two lines.", "Do much of it, after\nall."),
    ]
    assert pieces.sections[1].code == (11,)
    assert 19 in pieces.sections[2].code, "the docstring of a short method stays in the code"


def test_a_c_file_in_pieces() -> None:
    text = "/* SPDX-License */\n/* Head. */\n#ifndef A_H\n#define A_H\n#include <x.h>\n\n/* One. */\nint a;\n\n"
    text += "/*\n * Two\n *\tlines.\n */\nint b; /* in the code */\n\n#endif\n"
    pieces = cut("a.h", text)
    found = [(section.prose, section.code) for section in pieces.sections]
    assert found == [("Head.", (7, 8)), ("Two\n\tlines.", (14,))]
