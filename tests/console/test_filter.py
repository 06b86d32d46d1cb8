# SPDX-License-Identifier: GPL-2.0-or-later
"""--console-filter: text and harmless controls get through, in whatever pieces, and nothing that a terminal obeys."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from fake_engine import fake_images
from hypothesis import given
from hypothesis import strategies as st

from lguest_py.console.filter import LONGEST, PENDING, Filter, FilteredOutput
from lguest_py.console.streams import LIMIT, Output

__all__ = ["fake_images"]
ROOT = Path(__file__).resolve().parents[2]
TEXT = "plain text, Grüße, Ελληνικά, 日本語, 🙂, e\u0301, a\u00a0b\ttab\r\n"


def filtered(*pieces: bytes) -> bytes:
    made = Filter()
    return b"".join(map(made.feed, pieces)) + made.finish()


def test_text_stays_as_it_is_however_it_is_split() -> None:
    data = TEXT.encode()
    assert filtered(data) == data
    for at in range(len(data) + 1):
        assert filtered(data[:at], data[at:]) == data
    assert filtered(*(data[at : at + 1] for at in range(len(data)))) == data


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        (b"\x1b]0;title\x07", b"^[]0;title\x07"),
        (b"\x1b[2J\x1b[6n", b"^[[2J^[[6n"),
        (b"\x1bP+q544e\x1b\\", b"^[P+q544e^[\\"),
        (b"\x9b2J", "\ufffd2J".encode()),  # a bare 8-bit control is no UTF-8
        ("\x9b2J\x90q\x9c".encode(), b"<009B>2J<0090>q<009C>"),
        (b"\x0e\x0f\x05\x00\x7f\x0b\x0c", b"^N^O^E^@^?^K^L"),
        (b"a\bb\a", b"a\bb\a"),
        ("a\u202eb\u2066c\u200bd".encode(), b"a<202E>b<2066>c<200B>d"),
        ("\u2028\u2029\ue000".encode(), b"<2028><2029><E000>"),
        (b"\xc3", "\ufffd".encode()),
        (b"\xe0\x80\x1b[m", "\ufffd\ufffd^[[m".encode()),
        (b"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd".encode()),
    ],
)
def test_controls_are_shown_however_they_are_split(given_: bytes, shown: bytes) -> None:
    for at in range(len(given_) + 1):
        assert filtered(given_[:at], given_[at:]) == shown


@given(st.lists(st.binary()))
def test_no_bytes_make_a_control_and_pieces_do_not_matter(pieces: list[bytes]) -> None:
    out = filtered(*pieces)
    assert out == filtered(b"".join(pieces))
    shown = [c for c in out.decode() if c not in "\n\r\t\b\a"]
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")]
    assert len(out) <= LONGEST * sum(map(len, pieces))


def test_no_more_is_taken_than_has_room() -> None:
    output = Output(-1)
    drain = FilteredOutput(output)
    drain.write(b"\xf0\x90\x80")
    assert drain.room * LONGEST + PENDING <= LIMIT
    output.close()


@pytest.mark.parametrize("options", [[], ["--console-filter"]])
def test_what_reaches_the_terminal(fake_images: Path, options: list[str]) -> None:
    command = [
        sys.executable,
        str(ROOT / "tests/lab/fake_cli.py"),
        "echo",
        str(fake_images),
        "boot",
        "--quiet",
        *options,
    ]
    said = "\x1b]0;owned\x07 € q".encode()
    done = subprocess.run([*command, "image"], input=said, capture_output=True, check=True)
    shown = said.replace(b"\x1b", b"^[") if options else said
    assert done.stdout == b"ready\r\n" + shown
