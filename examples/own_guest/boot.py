# SPDX-License-Identifier: GPL-2.0-or-later
"""Build a ring-1 kernel of your own and boot it.

Run it: python examples/own_guest/boot.py        It needs gcc and binutils.
Read before: guest.S.
Next in the book: switcher/layouts/lguest_abi.h.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from lguest_py import Machine
from lguest_py.launcher import report

BUILD = "gcc -m32 -nostdlib -static -Wl,-Ttext=0x100000,--build-id=none"

with tempfile.TemporaryDirectory() as directory:
    kernel = Path(directory, "guest.elf")
    subprocess.run([*BUILD.split(), Path(__file__).with_name("guest.S"), "-o", kernel], check=True)
    guest = Machine(kernel, memory="4M")
with guest:
    result = guest.wait(timeout=60)
print(guest.console.output, end="")
print(f"{report.headline(result)}, after {result.snapshot.switches} world switches")
sys.exit(result.status or result.guest_status)
