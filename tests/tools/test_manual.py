# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual page (tools/manual.py) names all there is, and man shows it without a complaint."""

from __future__ import annotations

import shutil
import subprocess

import manual
import pytest

from lguest_py.cli.parsers import command_line


def shown() -> str:
    """The page as groff formats it; complaints are errors."""
    command = ["groff", "-man", "-Tutf8", "-ww", "-P-c", "-rLL=200n", "-rHY=0"]
    done = subprocess.run(command, input=manual.page(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return subprocess.run(["col", "-b"], input=done.stdout, capture_output=True, text=True, check=True).stdout


def test_it_names_every_verb_and_option() -> None:
    page = manual.page().replace("\\-", "-")
    main, *verbs = command_line()
    for verb in verbs:
        assert f".SS lguest-py {verb.name}\n" in page
        assert manual.escape(verb.parser.usage or "").replace("\\-", "-") in page
    for option in [option for verb in (main, *verbs) for option in verb.options]:
        for name in option.names:
            assert f"\\fB{name}\\fR" in page
        assert option.help in page.replace("\\[u2026]", "…")


@pytest.mark.skipif(not (shutil.which("groff") and shutil.which("col")), reason="groff or col is not installed")
def test_it_is_shown_as_it_was_meant() -> None:
    text = " ".join(shown().split())
    for words in (
        "lguest-py - run a 32-bit Linux in ring 1",
        "lguest-py boot [options] [IMAGE | MACHINE.toml] [kernel arguments …]",
        "--engine {auto,kvm,tcg}",
        "128+n signal n",
        "XDG_CACHE_HOME",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (".request", "\\&.request"),
        ("'quoted", "\\&'quoted"),
        ("a\\b", "a\\eb"),
        ("--x", "\\-\\-x"),
        ("…", "\\[u2026]"),
        ("plain\n.second", "plain\n\\&.second"),
    ],
)
def test_nothing_in_a_text_is_taken_for_roff(text: str, escaped: str) -> None:
    assert manual.escape(text) == escaped
