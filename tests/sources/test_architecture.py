# SPDX-License-Identifier: GPL-2.0-or-later
"""The rooms of the sources: dependencies go one way, as docs/pictures/rooms.py draws them, and no files form a circle.

Python's imports are read from the source, lazy ones and those for types among them.  C is looked at twice: by its
includes, and by the symbols of the built objects, since a declaration can be repeated without an include.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import build_images
import lives
import pytest
import rooms
import toolchain

ROOT = Path(__file__).resolve().parents[2]
Graph = dict[str, set[str]]
PYTHON = {path.relative_to(ROOT): path for path in sorted((ROOT / "lguest_py").rglob("*.py"))}
FOLDERS = ("host_kernel", "guest_kernel", "switcher")
C = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.[chS]"))]
INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)"', re.M)
GENERATED = "offsets.h"
HIGHEST = 24  # files in a room


def module(path: Path) -> str:
    """The dotted name of a Python file."""
    name = ".".join(path.with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module(path) for path in PYTHON}


def imports(path: Path) -> set[str]:
    """The modules of ours that a Python file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES


def includes(path: Path) -> set[str]:
    """The files of ours that a C or assembler file includes."""
    return set(INCLUDE.findall(path.read_text())) - {GENERATED}


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Files that lead back to their first; none is []."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def python_room(name: str) -> str:
    """The room of a module: its folder, or for one at the top its own name."""
    return name.split(".")[1] if "." in name else ""


def c_room(file: str) -> str:
    """The room of a C file: its folder below host_kernel or guest_kernel."""
    folder = str(Path(file).parent)
    return folder if folder.startswith("switcher") else folder.partition("/")[2]


def against(graph: Graph, room: Mapping[str, str], rows: rooms.Rows) -> Iterator[str]:
    """What goes up or sideways between rooms."""
    rank = rooms.ranks(rows)
    for file, used in sorted(graph.items()):
        for other in sorted(used):
            here, there = room[file], room[other]
            if here != there and here in rank and there in rank and rank[there] <= rank[here]:
                yield f"{file} uses {other}: {here} must not use {there}"


PYTHON_GRAPH: Graph = {module(path): imports(where) - {module(path)} for path, where in PYTHON.items()}
C_GRAPH: Graph = {str(path.relative_to(ROOT)): includes(path) for path in C}


def symbols(image: str) -> Graph:
    """By the built objects of an image: source -> those whose functions and data it uses.

    x.c and x.S are one source: what has no words in C cannot stand in the same file.
    """
    spec = next(each for each in build_images.IMAGES if each.name == image)
    builder = build_images.Builder()
    nm = toolchain.find().compile[0].removesuffix("gcc") + "gcc-nm"
    defined: dict[str, str] = {}
    wanted: Graph = {}
    for source in builder.sources(spec):
        name = str(source.relative_to(ROOT).with_suffix(""))
        listed = subprocess.run(
            [nm, builder.build / image / f"{source.parent.name}.{source.name}.o"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        wanted.setdefault(name, set())
        for words in map(str.split, listed.stdout.splitlines()):
            if words[-2] == "U":
                wanted[name].add(words[-1])
            elif words[-2].isupper():
                defined[words[-1]] = name
    return {name: {defined[each] for each in used if each in defined} - {name} for name, used in wanted.items()}


def test_no_python_files_form_a_circle() -> None:
    facade = {"lguest_py"}  # its names are imported from below when they are first used
    assert not circle({name: used - facade for name, used in PYTHON_GRAPH.items()})


def test_python_rooms_use_lower_rooms_only() -> None:
    room = {name: python_room(name) for name in PYTHON_GRAPH}
    assert not list(against(PYTHON_GRAPH, room, rooms.LAUNCHER))
    assert {name for name in room.values() if name} - {"_layouts", "__main__"} == set(rooms.ranks(rooms.LAUNCHER))


def test_the_binding_of_kvm_stands_alone() -> None:
    for name, used in PYTHON_GRAPH.items():
        if python_room(name) == "kvm":
            assert {python_room(other) for other in used} <= {"kvm"}, name


def test_includes_name_files_by_their_path_from_the_root() -> None:
    assert not [f"{file}: {name}" for file, used in C_GRAPH.items() for name in used if not (ROOT / name).is_file()]


def test_no_includes_form_a_circle() -> None:
    assert not circle(C_GRAPH)


@pytest.mark.parametrize(("folder", "rows"), [("host_kernel", rooms.HOST), ("guest_kernel", rooms.GUEST)])
def test_includes_lead_to_lower_rooms(folder: str, rows: rooms.Rows) -> None:
    graph = {file: used for file, used in C_GRAPH.items() if file.startswith((folder, "switcher"))}
    room = {file: c_room(file) for file in C_GRAPH}
    assert not list(against(graph, room, rows))


@pytest.mark.parametrize(
    ("image", "rows"), [("host_kernel", rooms.HOST), ("host_bench", ()), ("host_profile", ()), ("guest", rooms.GUEST)]
)
def test_calls_lead_to_lower_rooms_and_never_in_a_circle(image: str, rows: rooms.Rows) -> None:
    build_images.Builder().all()
    graph = symbols(image)
    assert len(graph) > 10
    assert any(graph.values())
    assert not circle(graph)
    assert not list(against(graph, {file: c_room(file) for file in graph}, rows))


@pytest.mark.parametrize(("folder", "rows"), [("host_kernel", rooms.HOST), ("guest_kernel", rooms.GUEST)])
def test_every_room_is_in_the_picture(folder: str, rows: rooms.Rows) -> None:
    there = {c_room(file) for file in C_GRAPH if file.startswith((folder, "switcher"))}
    apart = {"reset", "boot", "native_bench", *(room for room in there if room.startswith("linux"))}  # other programs
    assert there - apart - {"switcher", "switcher/layouts"} == set(rooms.ranks(rows)) - {"switcher", "switcher/layouts"}


def test_rooms_are_small() -> None:
    counts: dict[Path, int] = {}
    for path in (*C, *PYTHON.values(), *(ROOT / "tests").rglob("*.py")):
        counts[path.parent] = counts.get(path.parent, 0) + 1
    assert not {str(room.relative_to(ROOT)): count for room, count in counts.items() if count > HIGHEST}


def test_modules_of_tests_have_names_of_their_own() -> None:
    """Else pytest cannot import them together."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, following in itertools.pairwise(names) if name == following] == []


def test_a_circle_and_a_wrong_way_are_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circle({"a": {"b"}, "b": {"c"}, "c": set()})
    rows = ((("top", ""),), (("low", ""), ("beside", "")))
    room = {"t": "top", "l": "low", "b": "beside"}
    assert list(against({"l": {"t"}}, room, rows)) == ["l uses t: low must not use top"]
    assert list(against({"l": {"b"}}, room, rows))
    assert not list(against({"t": {"l", "b"}}, room, rows))


def test_the_pictures_are_as_their_scripts_draw_them() -> None:
    pictures = ROOT / "docs/pictures"
    assert (pictures / "rooms.svg").read_text() == rooms.draw(), "run: python docs/pictures/rooms.py"
    for name in lives.LIVES:
        assert (pictures / f"life-{name}.svg").read_text() == lives.draw(name), "run: python docs/pictures/lives.py"


def test_the_files_in_the_pictures_exist() -> None:
    places = [ROOT / folder for folder in ("", "host_kernel", "host_kernel/native", "lguest_py")]
    for _, steps in lives.LIVES.values():
        for *_, where in steps:
            previous = ""
            for name in re.findall(r"[\w/]+\.(?:c|h|S|py)\b", where):
                folder = Path(previous).parent
                assert any((place / name).is_file() or (place / folder / name).is_file() for place in places), name
                previous = name
