# SPDX-License-Identifier: GPL-2.0-or-later
"""The forms of hardware in a machine file: a text as the option takes it, or a table.

    disk = ["root.img,readonly", { file = "data.qcow2", overlay = true }]

Read next: together.py; lguest_py/launcher/machine_file.py, which reads the file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from lguest_py.errors import UsageError
from lguest_py.hardware.kinds import Console, Disk, Entropy, Hardware, Network, Publish, Share, Vsock
from lguest_py.hardware.text import parse
from lguest_py.hardware.words import instead, quoted

# What a table has, by the option's name: the kind, and the names of its fields there.  The first is needed.
TABLES: dict[str, tuple[type[Hardware | Publish], dict[str, str]]] = {
    "disk": (
        Disk,
        {"file": "path", "readonly": "readonly", "overlay": "overlay", "format": "format", "serial": "serial"},
    ),
    "net": (Network, {"kind": "kind", "name": "name", "address": "address", "mac": "mac", "publish": "publish"}),
    "publish": (Publish, {"host": "host", "guest": "guest", "protocol": "protocol", "address": "address"}),
    "share": (Share, {"dir": "path", "tag": "tag", "readonly": "readonly"}),
    "console": (Console, {"socket": "path"}),
    "vsock": (Vsock, {"socket": "path", "cid": "cid"}),
}
NEEDED = {
    **{"publish": ("host", "guest"), "disk": ("file",), "share": ("dir",), "net": ("kind",)},
    **dict.fromkeys(("console", "vsock"), ("socket",)),
}


def _from_table(option: str, table: dict[str, Any]) -> Hardware | Publish:
    kind, names = TABLES[option]
    for key in table:
        if key not in names:
            raise UsageError(f"there is no {quoted(key)} in it: {instead(key, names)}")
    for key in NEEDED[option]:
        if key not in table:
            raise UsageError(f"{key} is missing: give {key} = …")
    values = {names[key]: value for key, value in table.items()}
    if option == "net" and "publish" in values:
        values["publish"] = tuple(entries("publish", values["publish"]))
    return kind(**values)


def _entry(option: str, value: object) -> Hardware | Publish:
    if isinstance(value, str):
        try:
            return parse(option, value)
        except UsageError as error:
            raise UsageError(str(error).removeprefix(f"--{option}: ")) from None
    if isinstance(value, dict) and option in TABLES:
        return _from_table(option, value)
    if option == "rng" and value is True:
        return Entropy()
    right = "a text or a table" if option in TABLES else "a text"
    raise UsageError(f"it cannot be {quoted(value)}: give {'true, or ' if option == 'rng' else ''}{right}")


def entries(option: str, value: object) -> list[Hardware | Publish]:
    """What the key ``option`` means with this value: one, or a list.  Raises UsageError, which names the key."""
    found: list[Hardware | Publish] = []
    values = value if isinstance(value, list) else [value]
    if option == "rng" and value is False:
        return []
    for number, each in enumerate(values, 1):
        try:
            found.append(_entry(option, each))
        except UsageError as error:
            place = f"{option} {number}" if len(values) > 1 else option
            raise UsageError(f"{place}: {error}") from None
    return found


def located(device: Hardware | Publish, base: str) -> Hardware | Publish:
    """The device with its file as it is seen from the folder ``base``; ~/ is the user's home."""
    if isinstance(device, Network | Publish) or not device.path:
        return device
    return replace(device, path=os.path.join(base, os.path.expanduser(device.path)))
