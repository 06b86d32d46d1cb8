# SPDX-License-Identifier: GPL-2.0-or-later
"""Quote words for the kernel's command line, so that each arrives in the Guest unchanged, or is refused.

White space ends a parameter unless it is between double quotes, and a double quote cannot be escaped.  So a value with
white space is quoted (NAME="a b"), and one with white space and double quotes is refused.
Source: Linux's Documentation/admin-guide/kernel-parameters.rst.  Read next: boot_params.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from lguest_py.errors import UsageError

SPACES = b" \t\n\v\f\r\xa0"  # Linux's isspace(); 0xA0 is also a byte within UTF-8 letters
_QUOTE = ord('"')


def split(line: str) -> list[str]:
    """The parameters of a command line, split as the kernel does, with their quotes."""
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
    """One word as one parameter.  Raises UsageError when no quoting makes it one."""
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
    """The command line with one parameter for each word.  Raises UsageError for a word that cannot be one parameter."""
    return " ".join(_parameter(word) for word in words if word)
