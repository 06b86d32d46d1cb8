# SPDX-License-Identifier: GPL-2.0-or-later
"""``--help`` of every verb comes at once: it imports little, and nothing that is heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lguest_py.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("cffi", "_cffi_backend", "elftools", "ctypes", "subprocess", "threading", "socket", "json", "tarfile", "email")
OURS = ("lguest_py.launcher.launcher", "lguest_py.engines", "lguest_py.kvm", "lguest_py.images", "lguest_py.doctor")
MOST = 66  # modules beyond those that every Python has; 25 of them are argparse with what it needs
SPY = """
import sys
before = set(sys.modules)
from lguest_py.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
after = set(sys.modules)
import json
print(json.dumps(sorted(after - before)))
"""


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_imports_little(arguments: list[str]) -> None:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{SPY}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "usage: lguest-py" in done.stdout
    imported = json.loads(done.stdout.splitlines()[-1])
    assert not [name for name in imported if name.partition(".")[0] in HEAVY or name in OURS]
    assert len(imported) < MOST, imported
