# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's cache folder, the only place where lguest-py leaves files without being asked.

Read next: lguest_py/cli/cache.py, which shows and clears it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lguest_py.errors import LguestError
from lguest_py.files.descriptors import check

CONTENTS = {
    "carrier": "the machine with KVM in which tests run (tools/run-in-kvm)",
    "kernels": "kernels (lguest-py fetch)",
    "debian": "Debian systems in which tests run (tests/fresh_debian.py)",
}


def folder() -> Path:
    """``${XDG_CACHE_HOME:-~/.cache}/lguest-py``; it need not exist.  A relative XDG_CACHE_HOME counts as none.

    Raises LguestError where there is no home either.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base, "lguest-py")
    try:
        return Path.home() / ".cache" / "lguest-py"
    except RuntimeError:
        raise LguestError("there is no home directory to keep caches in: set HOME or XDG_CACHE_HOME") from None


@dataclass(frozen=True)
class Entry:
    """One part of the cache: what it is for, and its size on the disk in bytes."""

    path: Path
    about: str
    size: int


def _size(path: Path) -> int:
    """Bytes on the disk, of a file or of all below a directory; symbolic links are not followed."""
    try:
        total = path.lstat().st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            total += sum(_size(child) for child in path.iterdir())
    except OSError as error:  # it went away, or may not be read
        check(error)
        return 0
    return total


def entries() -> list[Entry]:
    """The parts of the cache, sorted by name.  Raises LguestError when the folder cannot be read."""
    try:
        paths = sorted(folder().iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        check(error)
        why = f"cannot be read ({error.strerror})"
        raise LguestError(f"{folder()} {why}: set XDG_CACHE_HOME to another place") from None
    return [Entry(path, CONTENTS.get(path.name, ""), _size(path)) for path in paths]


def in_use(path: Path) -> bool:
    """Whether a carrier that lives there runs now: it holds a lock on its job's directory."""
    import fcntl

    for job in path.glob("job.*"):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            fd = os.open(job, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(fd)
    return False


def remove(path: Path) -> None:
    """Delete a part of the cache.  Raises LguestError when it cannot be, naming the file that stays."""
    if in_use(path):
        raise LguestError(f"{path} is in use: a test or a tools/run-in-kvm runs; try again when it has ended")
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        check(error)
        why = f"{error.filename}: {error.strerror}"
        raise LguestError(f"{path} cannot be deleted ({why}): see whose it is, and delete it by hand") from None
