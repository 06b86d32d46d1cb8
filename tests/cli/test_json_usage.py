# SPDX-License-Identifier: GPL-2.0-or-later
"""``boot --json``: wrong use of the command line is told as one JSON object too."""

from __future__ import annotations

import json

import pytest

from lguest_py.cli import main


@pytest.mark.parametrize(
    "wrong", [["--nonsense"], ["--memory", "much"], ["--timeout", "-1"], ["--engine", "xen"], ["--initrd"], [""]]
)
def test_wrong_use_is_an_object(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "--json", *wrong]) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["end"], told["status"]) == ("error", 2)
    assert err == f"lguest-py: {told['reason']}\n"


def test_without_json_nothing_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "--nonsense"]) == 2
    assert capsys.readouterr().out == ""
