# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine file: the options of ``lguest-py boot`` as TOML, with the same words (docs/devices.md).

Paths in it are relative to its folder.  Read next: lguest_py/hardware/table.py, the keys for hardware.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from typing import Any

from lguest_py.errors import ImageError, UsageError
from lguest_py.files.inputs import open_regular, printable, read_exactly
from lguest_py.hardware.kinds import Hardware, Publish
from lguest_py.hardware.table import entries, located
from lguest_py.hardware.text import FORMS
from lguest_py.hardware.words import instead, listed, quoted
from lguest_py.launcher.machine_options import MachineOptions
from lguest_py.launcher.values import CHOICES, rate, seconds, size

SUFFIX = ".toml"
LARGEST = 1 << 20  # bytes
ADVICE = "give a machine file (docs/devices.md)"
NOT_HERE = "json", "quiet", "verbose", "console-filter", "no-sandbox"  # options that are no property of a machine


def is_machine_file(image: str | None) -> bool:
    """Whether what was given as the image is a machine file, by its name."""
    return image is not None and image.endswith(SUFFIX)


def with_file(given: MachineOptions) -> MachineOptions:
    """``given``, and what its machine file says, if its image is one.  Raises UsageError or ImageError."""
    return given.over(read(given.image)) if given.image and is_machine_file(given.image) else given


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise UsageError(f"it cannot be {quoted(value)}: give a text")
    return value


def _given(parse: Callable[[str], Any], right: str) -> Callable[[object], Any]:
    """A check by a function of values.py, which takes a text."""

    def check(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"it cannot be {quoted(value)}: give {right}")
        try:
            return parse(str(value))
        except argparse.ArgumentTypeError as error:
            raise UsageError(str(error)) from None

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"it cannot be {quoted(value)}: give true or false")
    return value


def _words(value: object) -> str | list[str]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    raise UsageError(f"it cannot be {quoted(value)}: give a text as the kernel reads it, or a list of words")


def _choice(name: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise UsageError(f"it cannot be {quoted(value)}: give {listed(CHOICES[name])}")
        if value not in CHOICES[name]:
            raise UsageError(f"it cannot be {quoted(value)}: {instead(value, CHOICES[name])}")
        return value

    return check


CHECKS: dict[str, Callable[[object], Any]] = {
    "image": _text,
    "initrd": _text,
    "memory": _given(size, 'a size, as "64M"'),
    "command-line": _words,
    "timeout": _given(seconds, "seconds"),
    "guest-status": _flag,
    "username": _text,
    "chroot": _text,
    "root": _text,
    "report": _text,
    "core": _text,
    "trace": _text,
    "trace-rate": _given(rate, "samples a second"),
    **{name: _choice(name) for name in CHOICES},
}
KEYS = (*CHECKS, *FORMS)


def _read(path: str) -> dict[str, Any]:
    import tomllib

    name = printable(path)
    file, size_of_file = open_regular(path, ADVICE)
    with file:
        if size_of_file > LARGEST:
            raise ImageError(f"{name} has {size_of_file} bytes, too many for a machine file: {ADVICE}")
        data = read_exactly(file, 0, size_of_file, name)
    try:
        table = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name} line {line}: it is not UTF-8, which TOML must be: save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        why = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is nested too deep"
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", why)
        line = int(place[1]) if place and place[1] else data.count(b"\n") + 1
        said = why[: place.start()] if place else why
        raise UsageError(f"{name} line {line}: {said}: write it as TOML") from None
    except ValueError:  # Python's own limit for the digits of a number
        raise _too_large(name) from None
    _check_numbers(table, name)
    return table


def _too_large(name: str) -> UsageError:
    return UsageError(f"{name}: a number in it is larger than any that TOML has (64 bits): make it smaller")


def _check_numbers(table: dict[str, Any], name: str) -> None:
    """What tomllib reads and Python cannot print as digits."""
    values: list[Any] = [table]
    while values:
        value = values.pop()
        if isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int) and value.bit_length() > 63:
            raise _too_large(name)


def _located(name: str, value: Any, base: str) -> Any:
    """A path of the file as it is seen from here."""
    if name not in ("image", "initrd", "chroot", "root", "report", "core", "trace"):
        return value
    place = os.path.join(base, os.path.expanduser(value))
    if name == "image" and not os.path.exists(place):
        from lguest_py.kernels.stock import STOCK

        return value if value in STOCK else place
    return place


def read(path: str) -> MachineOptions:
    """Read the machine file.  Raises UsageError or ImageError: one line with the file and the key."""
    table, base, name = _read(path), os.path.dirname(path), printable(path)
    values: dict[str, Any] = {}
    devices: list[Hardware | Publish] = []
    for key, value in table.items():
        try:
            if key in FORMS:
                devices += [located(each, base) for each in entries(key, value)]
            elif key in CHECKS:
                try:
                    values[key.replace("-", "_")] = _located(key, CHECKS[key](value), base)
                except UsageError as error:
                    raise UsageError(f"{key}: {error}") from None
            elif key in NOT_HERE:
                raise UsageError(f"{key} is no property of a machine: give --{key} on the command line")
            else:
                raise UsageError(f"there is no key {quoted(key)}: {instead(key, KEYS)}")
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None
    if is_machine_file(values.get("image")):
        raise UsageError(f"{name}: image: it is a machine file too, but a machine has one: name a kernel")
    return MachineOptions(devices=tuple(devices), **values)
