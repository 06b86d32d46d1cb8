# SPDX-License-Identifier: GPL-2.0-or-later
"""Output to a stream of any encoding: a character that it cannot show is replaced, and is never an error.

A file's name is written as its bytes, also where they are not valid in the locale's encoding.
"""

from __future__ import annotations

import codecs
import io
from typing import TextIO

HANDLER = "lguest-py"
_PLAIN = {"…": "...", "µ": "u", "\ufffd": "?"}


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):  # who reads back what was written here, as a test's capture does
        return "\ufffd", error.end
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":  # a byte of a file's name, by Python's surrogateescape
        return bytes([ord(letter) & 0xFF]), error.start + 1
    return _PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode(), error.start + 1


codecs.register_error(HANDLER, _replace)


def tolerate(stream: TextIO | None) -> None:
    """Make ``stream`` accept any text."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=HANDLER)
