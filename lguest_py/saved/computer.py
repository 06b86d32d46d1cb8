# SPDX-License-Identifier: GPL-2.0-or-later
"""Which computer this is, and since when it runs: on the same one nothing needs to be measured again.

Source: random(4).  Read next: lguest_py/launcher/saving.py.
"""

from __future__ import annotations

import contextlib
import platform

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def this_boot() -> str:
    """What tells this run of this computer from others; "": it does not say."""
    with contextlib.suppress(OSError), open(BOOT_ID) as file:
        return f"{platform.node()} {file.read().strip()}"
    return ""
