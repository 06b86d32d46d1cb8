# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation is correct: its commands run, its links exist, the tour and the picture are up to date.

A fenced block of sh or python runs in the root of the sources, unless "<!-- not run: REASON -->" is above it; those are
listed in NOT_RUN.  pytest runs a block of python that contains tests.  Read next: docs/pictures/rings.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
import rings
from pages_lab import FENCE, PAGES, ROOT, Block, blocks

from lguest_py.images.native import ADDITIONS

EXPECTED = {
    *("README.md", "CAVEATS.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "THIRD_PARTY.md"),
    *("docs/tour.md", "docs/kernels.md", "docs/devices.md", "docs/disks.md", "docs/networks.md", "docs/share.md"),
    *("docs/book.md", "docs/reports.md", "docs/STATUS.md", "docs/decisions.md", "docs/latency.md"),
}
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKES_FILES = {"docs/devices.md"}  # pages whose blocks run in an empty folder
NOT_RUN = {  # page and first words of a block that no test of this file runs: why
    ("README.md", "tools/setup boot"): "installs packages; tests/tools/test_setup.py",
    ("README.md", "lguest-py boot"): "needs a kernel of yours; tests/linux/test_linux_shell.py",
    ("README.md", "lguest-py fetch debian-6.1-686"): "downloads 60 MB; tests/userland/test_readme_guest.py",
    ("README.md", "lguest-py fetch debian-12-i386"): "makes a root disk; tests/userland/test_userland.py",
    ("README.md", "def test_its_machine(lguest_booted):"): "needs a fetched kernel",
    ("README.md", "python examples/kvm_in_30_lines.py"): "needs a KVM that works; tests/sources/test_examples.py",
    ("CONTRIBUTING.md", "tools/setup test"): "installs packages; tests/tools/test_setup.py",
    ("CONTRIBUTING.md", "ruff check"): "long; tests/sources/test_style.py runs the checkers",
    ("docs/book.md", "pip install"): "tests/tools/test_book_pages.py builds it",
    ("docs/latency.md", "LGUEST_LINUX=DIR python"): "minutes; tests/bench/test_latency_page.py checks it",
    ("docs/latency.md", "lguest-py bench"): "as above, one by one",
    ("docs/kernels.md", "lguest-py boot"): "needs a kernel of yours; tests/linux/test_linux_shell.py",
    ("docs/kernels.md", "LGUEST_LINUX=DIR pytest"): "needs kernels of yours; tests/linux/test_linux_devices.py",
    ("docs/kernels.md", "lguest-py fetch debian-6.1-686"): "downloads 60 MB",
    ("docs/kernels.md", "lguest-py fetch debian-6.1-686-pae"): "downloads 130 MB; tests/linux/test_pae_boot.py",
    ("docs/userland.md", "lguest-py fetch debian-12-i386"): "makes a root disk; tests/userland/test_userland.py",
    ("docs/kernels.md", "lguest-py mkinitrd --busybox"): "needs a 32-bit busybox; tests of mkinitrd",
    ("docs/kernels.md", "lguest-py mkinitrd --kernel"): "needs the fetched kernel; tests/linux/test_modules.py",
    ("labs/README.md", "tools/setup labs"): "installs packages; tests/tools/test_setup.py",
    ("labs/README.md", ". .venv/bin/activate"): "changes this shell only",
    ("labs/README.md", "pytest labs/01-null-switch"): "fails until the lab is solved; tests/sources/test_labs.py",
    ("labs/README.md", "python labs/exercise.py"): "tests/sources/test_labs.py runs it with lab 1 solved",
    ("labs/06-break-out/README.md", "git diff"): "after a change by hand; tests/sources/test_labs.py",
    ("docs/devices.md", "lguest-py boot"): "needs the fetched kernel; tests/linux/test_user_devices.py",
    ("docs/devices.md", "lguest-py boot --vsock"): "needs the fetched kernel; tests/linux/test_linux_vsock.py",
    ("docs/devices.md", "lguest-py boot --console"): "needs a terminal; tests/devices/test_extra_console.py",
}


BLOCKS = blocks()
OURS = [block for block in BLOCKS if not block.page.startswith("labs/")]  # test_labs.py runs theirs
RUN = [block for block in OURS if block.language in ("sh", "python") and block.reason is None]


def test_the_pages_are_there() -> None:
    assert {str(page.relative_to(ROOT)) for page in PAGES} >= EXPECTED


def test_every_block_that_is_not_run_is_listed() -> None:
    marked = {(block.page, block.start): block.reason for block in BLOCKS if block.reason}
    assert len(marked) == len([block for block in BLOCKS if block.reason])
    assert {place: marked.get(place) for place in NOT_RUN if (ROOT / place[0]).exists()} == NOT_RUN
    assert set(marked) == set(NOT_RUN)
    for name in re.findall(r"tests/[\w/]+\.py", " ".join(NOT_RUN.values())):
        assert (ROOT / name).exists(), name


def test_commands_are_only_in_fenced_blocks() -> None:
    assert {block.language for block in BLOCKS} <= {"sh", "python", "text"}
    for page in PAGES:
        outside = FENCE.sub("", page.read_text())
        assert "```" not in outside, page
        assert not re.findall(r"^ {4,}(?:\$|lguest-py|tools/setup|pytest|python) .*$", outside, re.M), page


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.page}:{block.start}")
def test_a_block_of_commands_runs(block: Block, tmp_path: Path) -> None:
    code = block.code.replace(" /tmp/", f" {tmp_path}/")  # somebody else may run the same block now
    command = ["sh", "-eu", "-c", code] if block.language == "sh" else [sys.executable, "-c", code]
    tests = len(re.findall(r"^def test_", block.code, re.M)) if block.language == "python" else 0
    if tests:
        (tmp_path / "test_page.py").write_text(block.code)
        command = [sys.executable, "-m", "pytest", "-q", str(tmp_path / "test_page.py")]
    # As in an installed environment that is active, without a terminal.
    folder = tmp_path if block.page in MAKES_FILES else ROOT
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as sockets:  # a socket's path is short
        environment = {**os.environ, "PATH": path, "XDG_RUNTIME_DIR": sockets}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )

        done = run(*command)
        lguest = sys.executable, "-m", "lguest_py"
        left = [json.loads(line)["name"] for line in run(*lguest, "ps", "--json").stdout.splitlines()]
        for name in left:
            run(*lguest, "stop", name)
    assert (done.returncode, left) == (0, []), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not tests or f"{tests} passed" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    text = page.read_text()
    places = [place.partition("#")[0] for place in LINK.findall(text) if not place.startswith("http")]
    assert not [place for place in places if place and not (page.parent / place).exists()]
    for name in re.findall(r"\btests/[\w/]+\.py\b", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_begins_with_its_licence(page: Path) -> None:
    assert "SPDX-License-Identifier: GPL-2.0-or-later" in page.read_text().splitlines()[0]


def test_each_file_of_the_tour_names_the_next() -> None:
    tour = (ROOT / "docs/tour.md").read_text()
    stops = re.findall(r"^\d+\. \[([^]]+)\]\(\.\./\1\)", tour, re.M)
    assert 1 < len(stops) <= 8
    assert len(stops) == len(re.findall(r"^\d+\. ", tour, re.M))
    assert stops[0] == "lguest_py/cli/boot.py"
    for stop, following in pairwise(stops):
        header = "\n".join((ROOT / stop).read_text().splitlines()[:25])
        assert "Read next:" in header, stop
        assert Path(following).name in header.partition("Read next:")[2], f"{stop} does not name {following}"


def test_the_tour_ends_with_the_instruction_that_enters_the_guest() -> None:
    assert re.search(r"^\tiret$", (ROOT / "switcher/switcher.S").read_text(), re.M)


def test_the_picture_is_up_to_date() -> None:
    assert (ROOT / "docs/pictures/rings.svg").read_text() == rings.draw(), "run: python docs/pictures/rings.py"


def test_the_page_lists_what_is_added_to_a_native_kernels_command_line() -> None:
    text = (ROOT / "docs/kernels.md").read_text()
    listed = re.findall(r"^\| `([a-z_]+=?)[^`]*` \|", text.partition("| added |")[2].partition("\n\n")[0], re.M)
    assert set(listed) == {start for start, _ in ADDITIONS}


def test_the_readme_lists_all_exit_statuses_and_options() -> None:
    readme = (ROOT / "README.md").read_text()
    said = subprocess.check_output([sys.executable, "-m", "lguest_py", "boot", "--help"], text=True, cwd=ROOT)
    options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", said, re.M))
    assert options >= {"--initrd", "--guest-status"}
    assert not [option for option in options if f"`{option}" not in readme]
    statuses = re.findall(r"^  (\d)  ", said.partition("exit status:")[2], re.M)
    assert statuses == ["0", "1", "2", "3", "4", "5"]
    assert not [status for status in statuses if f"\n| {status} | " not in readme]
