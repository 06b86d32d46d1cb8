# SPDX-License-Identifier: GPL-2.0-or-later
"""What the Launcher gives up when everything is open: its walls, ``--username`` and ``--chroot``; or ``--no-sandbox``.

Behind the walls (lguest_py/sandbox) it opens no file, starts no program and makes no socket any more.  With the options
of root it is another user for good, and sees the files below one folder only.  What it needs later is read or opened
before: /dev/kvm for the next boot, with --chroot the modules of the report.  QEMU has walls of its own.  Another
process starts it and connects to sockets, which can do no more than that (lguest_py/engines/keeper.py).

Only a process that is the command line's own gets walls: a program that calls ``lguest_py.cli.main`` would not leave
them again.
Read next: lguest_py/launcher/launcher.py, which calls ``confine`` before the Guest's first instruction.
Next in the book: lguest_py/sandbox/walls.py.
"""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from lguest_py.engines import Choice
from lguest_py.engines.base import Engine
from lguest_py.engines.ram import OPEN_FILES
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.inputs import keep, printable
from lguest_py.files.unix_sockets import connected
from lguest_py.hardware import Console, Network, Share, Vsock
from lguest_py.launcher.launcher import Settings
from lguest_py.sandbox import child
from lguest_py.sandbox.walls import Needs, Walls

if TYPE_CHECKING:
    from lguest_py.engines.keeper import Keeper

Say = Callable[[str], None]
# What is imported late where it is used, and could not be found then.
LATER = (
    *("difflib", "json", "resource", "traceback", "linecache", "subprocess", "signal", "ctypes", "unicodedata"),
    *("encodings.ascii", "encodings.latin_1", "encodings.utf_8", "encodings.unicode_escape", "encodings.idna"),
    *("lguest_py.launcher.report", "lguest_py.launcher.result", "lguest_py.images.initrd_format"),
    *("lguest_py.launcher.report_data", "lguest_py.launcher.examine"),
    *("lguest_py.postmortem.core", "lguest_py.launcher.saving", "lguest_py.gdb.server", "lguest_py.gdb.host"),
    *("lguest_py.images.boot_params", "lguest_py.images.initrd", "lguest_py.images.native"),
)
PERHAPS = ("iced_x86",)  # the same, and the report does without it


class Confinement:
    """All that is wanted of it.  Raises UsageError when it cannot be."""

    def __init__(
        self, username: str | None = None, chroot: str | None = None, *, walls: bool = True, say: Say | None = None
    ) -> None:
        """``walls``: put them up; ``say`` prints which there are."""
        self._user: pwd.struct_passwd | None = None
        self._folder = os.path.abspath(chroot) if chroot else ""
        self._walls, self._say, self._needs = walls, say, Needs()
        self._control: Sequence[str] = ()  # the Guest's sockets for other programs
        if username is None and chroot is None:
            return
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

    def engine(
        self,
        choice: Choice,
        settings: Settings,
        stack: ExitStack,
        made: Sequence[str] = (),
        control: Sequence[str] = (),
    ) -> Callable[[int], Engine]:
        """What makes a VM, also when confined.  Called before any thread is there; ``stack`` releases what it opens.

        ``made``: empty files of --report and --core, which go at the end if they still are; ``control``: the Guest's
        sockets for other programs, which go, too; the first one's folder as well if it is empty.
        """
        self._initrd, self._made = settings.initrd, made
        self._control = control
        self._sockets = [each.path for each in settings.devices if isinstance(each, Console | Vsock)]
        given = [each.path for each in settings.devices if isinstance(each, Vsock)]
        self._vsocks = [*given, *map(os.path.abspath, given)]
        shares = [each for each in settings.devices if isinstance(each, Share)]
        self._needs = Needs(
            reads=tuple(os.path.abspath(each.path) for each in shares if each.readonly),
            writes=tuple(os.path.abspath(each.path) for each in shares if not each.readonly),
            accepts=bool(self._sockets or control),
            tap=any(isinstance(each, Network) and each.kind != "user" for each in settings.devices),
            kvm=choice.name == "kvm",
        )
        self._keeper: Keeper | None = None
        by_keeper = choice.name == "tcg"
        if by_keeper and not (self._user or self._folder or os.path.exists(OPEN_FILES)):
            self._walls = by_keeper = False  # a QEMU of a later boot could not be given its memory
            if self._say:
                self._say("the Launcher is behind no walls (there is no /proc)")
        if by_keeper or self._sockets or made or control:
            from lguest_py.engines.keeper import Keeper, confining_options

            user = self._user.pw_name if self._user else ""
            confining = confining_options(self._folder, user) if by_keeper and (self._folder or user) else []
            self._keeper = Keeper(confining if by_keeper else None, user)
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
        return self._keeper.connect(path) if self._keeper and (self._folder or self._walls) else connected(path)

    def confine(self) -> None:
        """Give it up.  Raises LguestError."""
        if self._folder or self._user:
            _import_late_modules()
        walls = Walls(self._needs) if self._walls else None
        user = self._user
        try:
            if self._initrd:
                keep(self._initrd)
            if user or self._folder:
                for path in self._sockets:
                    os.chown(path, user.pw_uid if user else -1, user.pw_gid if user else -1)
            if self._keeper:
                folders = [os.path.dirname(os.path.abspath(path)) for path in self._control[:1]]
                files = [*self._sockets, *self._control]
                self._keeper.remove_at_the_end(files, self._vsocks, self._made, folders)
            if self._folder:
                os.chroot(self._folder)
                os.chdir("/")
            if user:
                os.initgroups(user.pw_name, user.pw_gid)
                os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
                os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        except OSError as error:
            if not (user or self._folder):
                what = f"{printable(str(error.filename))} is gone" if error.filename else "no walls can be put up"
                raise LguestError(f"{what} ({error.strerror}): start the Guest anew") from None
            why = f"root's rights cannot be given up ({error.strerror})"
            raise LguestError(f"{why}: leave --chroot and --username out") from None
        child.no_new_privileges()
        if walls:
            walls.put_up()
            if self._say:
                self._say(walls.told())
        if self._folder:
            sys.path.clear()  # what is in the folder is not ours


def _import_late_modules() -> None:
    from lguest_py.launcher.examine import host_elf

    for name in LATER:
        import_module(name)
    for name in PERHAPS:
        with suppress(ImportError):
            import_module(name)
    for pae in (False, True):
        with suppress(OSError):
            keep(host_elf(pae))
