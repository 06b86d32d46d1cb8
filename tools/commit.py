# SPDX-License-Identifier: GPL-2.0-or-later
"""Record which commit the sources are of, for ``lguest-py --version``: lguest_py/_images/commit.

Where there is no git, or the tree is not a repository of its own (a tarball unpacked somewhere in another), what came
with the sources stays, and otherwise there is no such file.  LGUEST_PY_COMMIT tells it where the sources cannot (the
Dockerfile).  Used by tools/build_images.py.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), "--no-optional-locks", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def find(root: Path) -> str | None:
    """The commit of the sources in ``root``, with "+" behind it where files that git knows were changed."""
    if not (root / ".git").exists():
        return os.environ.get("LGUEST_PY_COMMIT") or None
    commit = _git(root, "rev-parse", "--short=12", "--verify", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return commit and commit + ("+" if changes else "")


def record(root: Path, file: Path) -> None:
    """Write it to ``file``, where it is known and is not there already."""
    commit = find(root)
    if commit and not (file.exists() and file.read_text() == f"{commit}\n"):
        file.write_text(f"{commit}\n")
