# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams and locales that are not UTF-8: every verb works, and the console's bytes are the Guest's own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lguest_py.cli.text import tolerate
from lguest_py.cli.verbs import VERBS
from lguest_py.launcher.vm_memory import built

ROOT = Path(__file__).resolve().parents[2]
POSIX = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LOCALES = {"posix": POSIX, "ascii": {"PYTHONIOENCODING": "ascii"}, "latin-1": {"PYTHONIOENCODING": "latin-1"}}
ODD = os.fsencode("o\udcff") + "dd\u00e4".encode()


def run(locale: str, *arguments: str | bytes, cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    command = [sys.executable, "-c", "import sys; from lguest_py.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(
        command, env={**environment, **LOCALES[locale], "PYTHONPATH": str(ROOT)}, cwd=cwd, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=400, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_is_shown(locale: str, arguments: list[str]) -> None:
    done = run(locale, *arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: lguest-py")
    assert done.stdout.isascii()
    assert b"\\u" not in done.stdout


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("arguments", [["completion", "zsh"], ["bench", "--list"], ["cache"]], ids=" ".join)
def test_other_output_is_shown(locale: str, arguments: list[str]) -> None:
    done = run(locale, *arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


@pytest.mark.parametrize("locale", LOCALES)
def test_names_of_any_bytes_are_told_in_one_line(locale: str, tmp_path: Path) -> None:
    refused = run(locale, "boot", ODD, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(b"lguest-py: ")
    assert refused.stderr.endswith(b" does not exist: give a bzImage, or a kernel as ELF (vmlinux)\n")
    assert refused.stderr.count(b"\n") == 1
    os.mkdir(os.fsencode(tmp_path) + b"/" + ODD)
    made = run(locale, "mkinitrd", ODD, "-o", ODD + b".out", cwd=tmp_path)
    assert made.returncode == 0
    assert made.stderr.startswith(b"lguest-py: o\xff" + (ODD[2:] if locale == "posix" else b"dd"))
    assert made.stderr.endswith(b" has no /init: the kernel will find no program to start\n")
    assert set(os.listdir(os.fsencode(tmp_path))) == {ODD, ODD + b".out"}


@pytest.mark.parametrize("locale", ["posix"])
def test_the_consoles_bytes_pass_as_they_are(locale: str, engine_name: str) -> None:
    command = b"run=echo \xff\xc3\xa4\xe4\xa0;echo well"
    done = run(locale, "boot", "--engine", engine_name, "--quiet", str(built("guest.elf")), command)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\xff\xc3\xa4\xe4\xa0\n" in done.stdout.replace(b"\r", b"")


def test_what_a_stream_cannot_show_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "latin-1", write_through=True)
    tolerate(stream)
    stream.write("\u2026 \u00e4 \udcc3 \u03bb \ufffd")
    assert raw.getvalue() == b"... \xe4 \xc3 \\u03bb ?"
    tolerate(None)
