# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot the tiny Guest with the device of lab 5, and let it use the device once.

Run it: python labs/05-device/boot.py [TEXT], when class Upper is there.
Read next: README.md.
"""

from __future__ import annotations

import sys

import lguest_py
from lguest_py.hardware import kinds


def main(words: list[str]) -> int:
    """Ask the device for these words; the exit status is the Guest's."""
    upper = getattr(kinds, "Upper", None)
    if not upper:
        print("there is no class Upper in lguest_py/hardware/kinds.py yet", file=sys.stderr)
        return 2
    asked = " ".join(words) or "hello from ring 1"
    try:
        with lguest_py.Machine(devices=[upper()], command_line=[f"run=devices;upper {asked}"], timeout=60) as guest:
            result = guest.wait()
    except lguest_py.LguestError as error:
        print(error, file=sys.stderr)
        return 1
    print(guest.console.output, end="")
    if result.status:
        print(result.report().short())
    return result.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
