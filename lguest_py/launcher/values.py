# SPDX-License-Identifier: GPL-2.0-or-later
"""Values that a user gives as text: words of a fixed set, sizes and times.  A wrong one raises argparse's error, which
says what to give.

Read next: lguest_py/cli/boot.py.
"""

from __future__ import annotations

import argparse
import math
import re

CHOICES = {  # by the option's name
    "engine": ("auto", "kvm", "tcg"),
    "switcher": ("classic", "lean"),
    "on-reboot": ("restart", "exit"),
    "bus": ("auto", "page", "pci"),
}
DEFAULT_MEMORY = 64 << 20
RATES = 1, 10_000  # samples a second of a trace
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text: str) -> int:
    """Bytes of "64M", "1G", "512K" or "67108864"."""
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)(?:i?B)?", text, re.ASCII | re.IGNORECASE)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give bytes, or a number with K, M or G (64M)")
    return int(match[1]) * _UNITS[match[2].upper()]


def seconds(text: str) -> float:
    """A positive, finite number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time limit: give seconds, more than 0")
    return value


def rate(text: str) -> int:
    """Samples a second: a whole number up to RATES[1]."""
    low, high = RATES
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: give {low} to {high} samples a second")
    return int(text)
