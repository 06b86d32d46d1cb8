# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the sockets of running Guests are: NAME.sock in a folder that is this user's alone.

The folder is lguest-py below XDG_RUNTIME_DIR (XDG Base Directory Specification), or lguest-py-UID below TMPDIR where
there is none.  Read next: client.py.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

from lguest_py.errors import UsageError
from lguest_py.files.inputs import printable

SUFFIX, HOST_SUFFIX = ".sock", ".host"
LONGEST_PATH = 107  # bytes of a Unix socket's name (unix(7))
LONGEST_NAME = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def check_name(name: str) -> str:
    """The name.  Raises UsageError for one that cannot be a Guest's."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"a Guest cannot be called {printable(name) or 'nothing'}: give at most {LONGEST_NAME} letters, digits, "
            "dots, dashes and underscores, a letter or digit first"
        )
    return name


def folder() -> Path:
    """The folder, which need not be there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime) and os.path.isdir(runtime):
        return Path(runtime) / "lguest-py"
    return Path(tempfile.gettempdir()) / f"lguest-py-{os.geteuid()}"


def _is_ours(path: Path) -> bool:
    """Whether nobody else can have put something there: others may make the name first in a folder for all."""
    facts = os.lstat(path)
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o022


def made_folder() -> Path:
    """The folder, made where it was not.  Raises OSError, or UsageError for one that is another user's."""
    path = folder()
    path.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(path):
        raise UsageError(f"{printable(str(path))} is not this user's alone: remove it, or set XDG_RUNTIME_DIR")
    return path


def socket_of(name: str) -> Path:
    """The socket of the Guest that is called so.  Raises UsageError."""
    path = folder() / f"{check_name(name)}{SUFFIX}"
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise UsageError(f"{printable(str(path))} is too long for a socket: set XDG_RUNTIME_DIR to a shorter folder")
    return path


def host_socket_of(name: str) -> Path:
    """Where gdb finds the Host kernel below that Guest."""
    return socket_of(name).with_suffix(HOST_SUFFIX)


def names() -> list[str]:
    """The names of all Guests that have a socket, which those that were killed may have left behind."""
    try:
        path = folder()
        if not _is_ours(path):
            return []
        found = sorted(each.name.removesuffix(SUFFIX) for each in path.iterdir() if each.name.endswith(SUFFIX))
    except OSError:
        return []
    return [name for name in found if _NAME.fullmatch(name)]
