# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's command line, made of words that arrive as they were given, or are refused.

Linux takes white space for the end of a parameter, but between double quotes; there is no escape for a double quote.
So a value with white space gets quotes around it (NAME="a b"), and one with white space and double quotes cannot be
carried.  Source: Linux's description of kernel parameters.  Read next: boot_params.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from lguest_py.errors import UsageError

SPACES = b" \t\n\v\f\r\xa0"  # what Linux's isspace takes for one: the last one is a byte of UTF-8 letters, too
_QUOTE = ord('"')


def split(line: str) -> list[str]:
    """The parameters of a command line, as the kernel parts them, with the quotes that stand in them."""
    words: list[bytes] = []
    word, quoted = bytearray(), False
    for byte in os.fsencode(line):
        quoted ^= byte == _QUOTE
        if byte in SPACES and not quoted:
            if word:
                words.append(bytes(word))
            word.clear()
        else:
            word.append(byte)
    if word:
        words.append(bytes(word))
    return [os.fsdecode(word) for word in words]


def _parameter(word: str) -> str:
    """One word as one parameter.  Raises UsageError when the kernel could not take it as that."""
    if word.count('"') % 2 == 0 and split(word) == [word]:
        return word
    if '"' in word:
        raise UsageError(
            f"the kernel's command line cannot carry {word!r}, which has white space and double quotes, or an odd "
            "number of those: use single quotes in it, or put it into a file of the initrd"
        )
    name, equals, value = word.partition("=")
    if not equals or split(name) != [name]:
        raise UsageError(f"the kernel's command line cannot carry {word!r} as one parameter: give each word by itself")
    return f'{name}="{value}"'


def join(words: Iterable[str]) -> str:
    """The command line that gives the kernel these words, a parameter each.  Raises UsageError."""
    return " ".join(_parameter(word) for word in words if word)
