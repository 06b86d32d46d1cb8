# SPDX-License-Identifier: GPL-2.0-or-later
"""``--username`` and ``--chroot``: what a Launcher that root started gives up when everything is open.

Then it is another user for good, and sees the files below one folder only.  What it needs later is read or opened
before: the modules of the report, /dev/kvm for the next boot.  QEMU is confined too.  Its program may lie where
neither leads, so another process starts it, which can do no more than that (lguest_py/engines/keeper.py).

Read next: lguest_py/launcher/launcher.py, which calls ``confine`` before the Guest's first instruction.
"""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from lguest_py.engines import Choice
from lguest_py.engines.base import Engine
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.inputs import keep, printable
from lguest_py.files.unix_sockets import connected
from lguest_py.hardware import Console, Vsock
from lguest_py.launcher.examine import host_elf
from lguest_py.launcher.launcher import Settings

if TYPE_CHECKING:
    from lguest_py.engines.keeper import Keeper

# What is imported late where it is used, and could not be found then.
LATER = (
    *("difflib", "json", "resource", "traceback", "linecache", "subprocess", "signal", "ctypes", "unicodedata"),
    *("encodings.ascii", "encodings.latin_1", "encodings.utf_8", "encodings.unicode_escape", "encodings.idna"),
    *("lguest_py.launcher.report", "lguest_py.launcher.result", "lguest_py.images.initrd_format"),
    *("lguest_py.launcher.report_data", "lguest_py.launcher.examine"),
    *("lguest_py.images.boot_params", "lguest_py.images.initrd", "lguest_py.images.native"),
)
PERHAPS = ("iced_x86",)  # the same, and the report does without it
PR_SET_NO_NEW_PRIVS = 38


class Confinement:
    """One of the two, or both.  Raises UsageError when it cannot be."""

    def __init__(self, username: str | None, chroot: str | None) -> None:
        self._user: pwd.struct_passwd | None = None
        self._folder = os.path.abspath(chroot) if chroot else ""
        option = "--chroot" if username is None else "--username"
        if os.geteuid() != 0:
            raise UsageError(f"{option} is for root, who has something to give up: leave it out, or use sudo")
        if username is not None:
            try:
                self._user = pwd.getpwnam(username)
            except KeyError:
                raise UsageError(
                    f"--username: there is no user {printable(username)}: give one of this machine, as nobody"
                ) from None
        if chroot is not None and not os.path.isdir(chroot):
            raise UsageError(f"--chroot: {printable(chroot)} is not a folder: give one, as an empty one")

    def engine(self, choice: Choice, settings: Settings, stack: ExitStack) -> Callable[[int], Engine]:
        """What makes a VM, also when confined.  Called before any thread is there; ``stack`` releases what it opens."""
        self._initrd = settings.initrd
        self._sockets = [each.path for each in settings.devices if isinstance(each, Console | Vsock)]
        given = [each.path for each in settings.devices if isinstance(each, Vsock)]
        self._vsocks = [*given, *map(os.path.abspath, given)]
        self._keeper: Keeper | None = None
        by_keeper = choice.name == "tcg"
        if by_keeper or self._sockets:
            from lguest_py.engines.keeper import Keeper, confining_options

            user = self._user.pw_name if self._user else ""
            self._keeper = Keeper(confining_options(self._folder, user) if by_keeper else None, user)
            stack.callback(self._keeper.close)
        if choice.name == "kvm":
            from lguest_py.engines.kvm import KvmEngine
            from lguest_py.kvm import Kvm

            return partial(KvmEngine, device=stack.enter_context(Kvm()))
        if self._keeper and by_keeper:
            from lguest_py.engines.tcg import TcgEngine

            return partial(TcgEngine, spawn=self._keeper.spawn)
        return choice.make

    def connect(self, path: str) -> socket.socket:
        """A connection to the Unix socket ``path``, also from within the folder.  Raises OSError."""
        return self._keeper.connect(path) if self._keeper and self._folder else connected(path)

    def confine(self) -> None:
        """Give it up.  Raises LguestError."""
        for name in LATER:
            import_module(name)
        for name in PERHAPS:
            with suppress(ImportError):
                import_module(name)
        for pae in (False, True):
            with suppress(OSError):
                keep(host_elf(pae))
        import ctypes

        no_new_privileges = partial(ctypes.CDLL(None).prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        user = self._user
        try:
            if self._initrd:
                keep(self._initrd)
            for path in self._sockets:
                os.chown(path, user.pw_uid if user else -1, user.pw_gid if user else -1)
            if self._keeper:
                self._keeper.remove_at_the_end(self._sockets, self._vsocks)
            if self._folder:
                os.chroot(self._folder)
                os.chdir("/")
            if user:
                os.initgroups(user.pw_name, user.pw_gid)
                os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
                os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        except OSError as error:
            why = f"root's rights cannot be given up ({error.strerror})"
            raise LguestError(f"{why}: leave --chroot and --username out") from None
        no_new_privileges()
        if self._folder:
            sys.path.clear()  # what is in the folder is not ours
