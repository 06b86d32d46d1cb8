# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/threat-model.md names tests that there are, and every file of tests/sandbox is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/threat-model.md"
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE.read_text())))


def missing(name: str) -> str:
    """What of "file" or "file::test" is not there."""
    path, _, test = name.partition("::")
    file = ROOT / path
    if not file.is_file():
        return path
    if test and not re.search(rf"^def {re.escape(test)}\(", file.read_text(), re.MULTILINE):
        return name
    return "" if re.search(r"^def test_", file.read_text(), re.MULTILINE) else f"a test in {path}"


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_is_there(name: str) -> None:
    assert not missing(name)


def test_what_is_not_there_is_seen() -> None:
    own = str(Path(__file__).relative_to(ROOT))
    assert not missing(own)
    assert missing(f"{own}::test_of_nothing")
    assert missing("tests/none.py")
    assert missing("tests/conftest.py")


def test_each_row_names_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    without = [row for row in rows if "`tests/" not in row and not row.endswith("| tests |")]
    assert len(NAMED) > 25
    assert not without


def test_all_tests_of_the_walls_are_named() -> None:
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/sandbox").glob("test_*.py")}
    assert there <= {name.partition("::")[0] for name in NAMED}


def test_the_page_is_found() -> None:
    for page in ("README.md", "SECURITY.md", "CAVEATS.md", "docs/tour.md"):
        assert "threat-model.md" in (ROOT / page).read_text(), page
