# SPDX-License-Identifier: GPL-2.0-or-later
"""Draw the pictures of docs/trace.md from a boot here: python docs/pictures/boot_trace.py [ENGINE]

A boot of Debian's kernel is recorded, with samples, and lguest-py trace draws it: the boot as one picture, and where
the kernel was.  They differ a little from boot to boot; tests/trace/test_trace_pictures.py looks only whether they are
such pictures.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = Path(__file__).resolve().parent
KERNEL = "debian-6.1-686"
RATE = "997"
COMMAND = (sys.executable, "-m", "lguest_py")


def draw(engine: str) -> None:
    """Record and draw."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "boot.trace")
        how = ("--engine", engine, "--quiet", "--trace", file, "--trace-rate", RATE)
        subprocess.run([*COMMAND, "boot", *how, KERNEL, "quiet"], stdin=subprocess.DEVNULL, check=True)
        places = ("--svg", str(PICTURES / "trace-boot.svg"), "--flame", str(PICTURES / "trace-flame.svg"))
        subprocess.run([*COMMAND, "trace", "--read", file, *places], check=True)


if __name__ == "__main__":
    draw(sys.argv[1] if len(sys.argv) > 1 else "tcg")
