# SPDX-License-Identifier: GPL-2.0-or-later
"""``--console-filter``: of the Guest's output only text and harmless controls reach the user's terminal.

A terminal obeys what is printed on it: it changes its title, its size and its keys, writes files, and answers as if
the user had typed.  So every control is shown and not sent: escape as ^[, and an 8-bit one as its number.  What stays
is text in UTF-8, newline, carriage return, tab, backspace and bell.  Characters that would not be seen or that turn the
direction of a line are shown by their number; bytes that are no UTF-8 become U+FFFD.

Read next: streams.py.
"""

from __future__ import annotations

import codecs
import unicodedata

from lguest_py.console.streams import Drain

HARMLESS = frozenset("\n\r\t\b\a")
HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))  # categories of Unicode
LONGEST = 3  # bytes of what one byte can become
PENDING = 4 * LONGEST  # of what an incomplete character can become


def _shown(character: str) -> str:
    if character.isprintable() or character in HARMLESS:
        return character
    number = ord(character)
    if number < 0x20 or number == 0x7F:
        return "^" + chr(number ^ 0x40)
    return f"<{number:04X}>" if unicodedata.category(character) in HIDDEN else character


class Filter:
    """Text in pieces, which may end anywhere in a character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes | bytearray) -> bytes:
        """What of the text up to here may be shown."""
        return self._show(self._decoder.decode(bytes(data)))

    def finish(self) -> bytes:
        """The rest, where the text ended within a character."""
        return self._show(self._decoder.decode(b"", final=True))

    @staticmethod
    def _show(text: str) -> bytes:
        if not text.isprintable():  # else there is nothing to look for
            text = "".join(map(_shown, text))
        return text.encode()


class FilteredOutput:
    """A Drain whose text goes through a Filter first."""

    def __init__(self, sink: Drain) -> None:
        self._sink = sink
        self._filter = Filter()

    @property
    def error(self) -> OSError | None:
        """See Drain."""
        return self._sink.error

    @property
    def room(self) -> int:
        """See Drain."""
        return max(0, self._sink.room - PENDING) // LONGEST

    @property
    def empty(self) -> bool:
        """See Drain."""
        return self._sink.empty

    def write(self, data: bytes | bytearray) -> None:
        """See Drain."""
        self._sink.write(self._filter.feed(data))

    def finish(self, seconds: float) -> int:
        """See Drain."""
        self._sink.write(self._filter.finish())
        return self._sink.finish(seconds)

    def fileno(self) -> int:
        """See Drain."""
        return self._sink.fileno()

    def notify_when(self, left: int) -> None:
        """See Drain."""
        self._sink.notify_when(left)

    def clear(self) -> None:
        """See Drain."""
        self._sink.clear()
