# SPDX-License-Identifier: GPL-2.0-or-later
"""A share works behind the walls as without them: the tests of tests/share are called there.

Read next: tests/lab/sandbox/walled_share.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from sandbox_lab import ROOT, needs_landlock, needs_seccomp

# It makes a socket itself, which nobody may there.
MAKES_A_SOCKET = "test_what_is_no_file_is_seen_and_never_opened"


@needs_landlock
@needs_seccomp
def test_a_share_that_can_be_written_does_all_that_it_does_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests/lab/sandbox/walled_share.py"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert not told["missing"]
    assert len(told["called"]) > 40
    failed = {name: how for name, how in told["failed"].items() if not how.startswith("Skipped")}
    assert set(failed) == {MAKES_A_SOCKET}, failed
