# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure all that results/ and docs/latency.md show of this machine's emulated processor, and draw both pages.

    LGUEST_LINUX=DIR python tools/measure.py

DIR holds a Linux 3.18.24 with lguest support; Debian's kernel is the fetched one.  The tree must be clean, so that the
commit in the files says what was measured.  It takes some minutes; nothing else should run meanwhile.

Read next: tools/latency_page.py, tools/keep_instructions.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
NATIVE: Final = ("--linux", "--image", "debian-6.1-686")
BENCH: Final = {  # results/NAME.json: how lguest-py bench makes it
    "tcg-icount": ("--icount",),
    "tcg-icount-linux": ("--linux", "--icount"),
    "tcg": ("--runs", "6"),
    "tcg-linux": ("--linux",),
    "tcg-icount-native": (*NATIVE, "--icount"),
    "tcg-native": NATIVE,
    "tcg-icount-native-pae": ("--linux", "--image", "debian-6.1-686-pae", "--icount"),
}
DRAW: Final = ("tools/results_page.py", "tools/latency_page.py", "tools/keep_instructions.py")


def commands(where: str = "results") -> list[list[str]]:
    """What measures, in this order, into files in ``where``."""
    bench = ["lguest-py", "bench", "--engine", "tcg"]
    return [[*bench, *options, "--export", f"{where}/{name}.json"] for name, options in BENCH.items()]


def _run(*command: str) -> None:
    """Raises CalledProcessError."""
    print("+", *command, flush=True)
    subprocess.run([sys.executable, *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def main() -> int:
    """Measure and draw; the exit status.  Nothing in the tree changes before all is measured."""
    if not os.environ.get("LGUEST_LINUX"):
        print("tools/measure.py: give LGUEST_LINUX=DIR, where a Linux 3.18.24 with lguest support is", file=sys.stderr)
        return 2
    if subprocess.check_output(["git", "status", "--porcelain", "--untracked-files=no"], cwd=ROOT):
        print("tools/measure.py: the tree has changes: commit them first", file=sys.stderr)
        return 2
    try:
        _run("tools/build_images.py")
        with tempfile.TemporaryDirectory(prefix="lguest-py-measure.") as aside:
            for command in commands(aside):
                _run("-m", "lguest_py", *command[1:])
            for name in BENCH:
                shutil.copyfile(Path(aside, f"{name}.json"), ROOT / "results" / f"{name}.json")
        for tool in DRAW:
            _run(tool)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
