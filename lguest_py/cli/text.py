# SPDX-License-Identifier: GPL-2.0-or-later
"""Our words on a stream of any encoding: what it cannot show is replaced, and never an error.

Names of files are shown as the bytes that they are, whatever the locale takes those for.
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
    if "\udc80" <= letter <= "\udcff":  # a byte of a file's name that was none of a letter
        return bytes([ord(letter) & 0xFF]), error.start + 1
    return _PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode(), error.start + 1


codecs.register_error(HANDLER, _replace)


def tolerate(stream: TextIO | None) -> None:
    """Have ``stream`` take any text from now on."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=HANDLER)
