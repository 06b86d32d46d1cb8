# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/latency.md: no figure in it that no command printed, and its commands are those that measure."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import latency_goals
import latency_page
import latency_tables
import measure
import pytest
from bench_lab import record, row

from lguest_py.bench.catalogue import select
from lguest_py.bench.linux import BENCHMARKS
from lguest_py.cli.bench import _parse
from lguest_py.cli.parser import Parser
from lguest_py.measurements import plot

ROOT = Path(__file__).resolve().parents[2]
TEXT = latency_page.PAGE.read_text()
WORDS = {"0", "1", "3", "32", "64", "3.18.24"}  # rings, bits, entries of a ring, a kernel: no measurements
PAGES = {name: (ROOT / name).read_text() for name in ("docs/latency.md", "results/README.md")}


def commands(text: str) -> list[list[str]]:
    """Each ``lguest-py bench`` of a page, in a block or within a line."""
    found = re.findall(r"(?:^|`)lguest-py (bench\b[^`\n]*)", text, re.M)
    return [shlex.split(each.replace("NAME", "some")) for each in found]


def texts(svg: Path) -> list[str]:
    """What is written in a picture: it stands in comments, whatever the font."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    root = ElementTree.parse(svg, ElementTree.XMLParser(target=builder)).getroot()
    return [(each.text or "").strip() for each in root.iter() if not isinstance(each.tag, str)]


def test_the_page_is_as_the_script_writes_it() -> None:
    assert latency_page.page(TEXT, latency_page.records()) == TEXT, "run: python tools/latency_page.py"


@pytest.mark.parametrize("name", latency_page.PICTURES)
def test_a_picture_is_as_the_script_draws_it(name: str, tmp_path: Path) -> None:
    shown, distributions = latency_page.picture(name, latency_page.records())
    plot.draw(shown, str(tmp_path / name), distributions)
    kept = latency_page.PICTURES_PLACE / name
    assert texts(kept) == texts(tmp_path / name), "run: python tools/latency_page.py"
    assert f"](pictures/{name})" in TEXT
    assert kept.stat().st_size < 400_000


def test_every_table_is_used_and_filled() -> None:
    found = latency_page.records()
    named = [place[1] for place in latency_page.PLACE.finditer(TEXT)]
    assert sorted(named) == sorted(latency_page.blocks(found))
    assert len(named) == TEXT.count("<!-- figures:") == TEXT.count("<!-- end -->")
    for name, make in latency_page.blocks(found).items():
        lines = make().splitlines()
        assert len(lines) > 2, name
        assert {line.count("|") for line in lines} == {lines[0].count("|")}, name


def test_there_is_no_figure_outside_the_tables() -> None:
    prose = latency_page.PLACE.sub("", TEXT)
    prose = re.sub(r"```.*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)", " ", prose, flags=re.S)
    assert not set(re.findall(r"(?<![A-Za-z])\d[\d.,]*\b", prose)) - WORDS


def test_every_goal_is_told() -> None:
    found = latency_page.records()
    linux = latency_page.blocks(found)["goals-linux"]().splitlines()[2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in linux] == list(latency_goals.LINUX)
    assert set(latency_goals.LINUX) < set(BENCHMARKS)
    goals = latency_page.blocks(found)["goals"]()
    rows = len(latency_goals.COUNTED) + len(latency_goals.HYPERCALL_IN_FLOORS) + 3  # two boots and the prompt
    assert len(goals.splitlines()) == 2 + rows
    parts = latency_page.blocks(found)["parts"]().splitlines()[2:]
    assert len(parts) == len(BENCHMARKS)


def test_what_counts_as_reached() -> None:
    assert [latency_tables.verdict(value, 2.0, 1.5) for value in (1.5, 1.51, 2.0, 2.01)] == [
        "aim",
        "goal",
        "goal",
        "missed",
    ]


def test_the_parts_add_up() -> None:
    counts = {"switches": 3, "set_pte": 2, "set_pte_instructions": 300, "host_instructions": 400}
    fork = row("fork", 1600, group="linux", switcher="lean", counts={**counts, "switcher_instructions": 100})
    native = row("fork", 1000, group="linux", where="native", switcher="")
    assert "| fork | 1000 | 1600 | 1100 | 100 | 400 | 1.10 |" in latency_tables.parts(record(fork, native))
    assert "| fork | 3 | 0 | 0 | set_pte 2 (300) |" in latency_tables.causes(record(fork, native))


def test_the_commands_are_those_that_measure() -> None:
    told = [f"lguest-py {' '.join(each)}" for each in commands(TEXT)]
    for command in measure.commands():
        assert " ".join(command) in told
    assert set(measure.BENCH) >= set(latency_page.FILES.values())


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one_that_bench_understands(page: str) -> None:
    found = commands(PAGES[page])
    assert len(found) > 2
    for command in found:
        options = _parse(Parser, command[1:])
        select(options.names, options.linux)
    for tool in re.findall(r"python (tools/\w+\.py)", PAGES[page]):
        assert (ROOT / tool).exists()


def test_the_measurements_are_of_one_commit_of_a_clean_tree() -> None:
    commits = {found.environment.commit for found in latency_page.records().values()}
    assert len(commits) == 1
    assert re.fullmatch(r"[0-9a-f]{12}", commits.pop()), "measured in a tree with changes: python tools/measure.py"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_measuring_wants_a_kernel_and_a_clean_tree(tmp_path: Path) -> None:
    tool = [sys.executable, str(tmp_path / "tools" / "measure.py")]
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "measure.py", tmp_path / "tools")
    environment = {name: value for name, value in os.environ.items() if name != "LGUEST_LINUX"}
    done = subprocess.run(tool, env=environment, capture_output=True, text=True)
    assert (done.returncode, "give LGUEST_LINUX=DIR" in done.stderr) == (2, True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    (tmp_path / "tools" / "measure.py").write_text((ROOT / "tools" / "measure.py").read_text() + "\n")
    done = subprocess.run(tool, env={**environment, "LGUEST_LINUX": "."}, capture_output=True, text=True)
    assert (done.returncode, "commit them first" in done.stderr) == (2, True)
