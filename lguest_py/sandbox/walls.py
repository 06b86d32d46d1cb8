# SPDX-License-Identifier: GPL-2.0-or-later
"""The walls of the Launcher's own process: prepared while it may still open files, put up before the Guest runs.

Read next: syscalls.py, what it may call then; lguest_py/cli/confinement.py, the caller.
The book ends here.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lguest_py.sandbox import landlock
from lguest_py.sandbox.child import LOADER, lowered, no_new_privileges
from lguest_py.sandbox.seccomp import Filter, UnavailableError
from lguest_py.sandbox.syscalls import launcher_filter

PACKAGE = str(Path(__file__).resolve().parent.parent)
MOST_DATA = 2 << 30  # bytes of the process's own memory, which the Guest's RAM is not
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", *LOADER)  # of modules in C
NOTHING_OF = ("CORE", "MSGQUEUE", "NICE", "RTPRIO")  # limits that become 0


@dataclass(frozen=True)
class Needs:
    """What the Guest's devices still do when it runs."""

    reads: tuple[str, ...] = ()  # folders that are shared, readonly
    writes: tuple[str, ...] = ()  # and those that may be changed
    accepts: bool = False  # programs connect to sockets of this process
    tap: bool = False
    kvm: bool = False

    @property
    def shares(self) -> bool:
        """Whether there is any."""
        return bool(self.reads or self.writes)


def own_code() -> list[str]:
    """Where Python finds its modules; those of the report are imported when a Guest has died."""
    roots = {os.path.join(each, "") for each in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    found = [PACKAGE]
    for place in sys.path:
        if os.path.isabs(place) and (place.startswith(tuple(roots)) or "-packages" in place):
            found.append(place)
    return found


class Walls:
    """Made while files can be opened; ``put_up`` once, by the only thread.  ``missing`` says which could not be."""

    def __init__(self, needs: Needs) -> None:
        self.missing: list[str] = []
        self._ruleset = self._landlock(needs)
        self._filter = self._seccomp(needs)

    def _landlock(self, needs: Needs) -> int:
        abi, why = landlock.version()
        if abi and needs.writes and not landlock.refers():
            abi, why = 0, "this kernel's has no way to move a file in a share"
        if not abi:
            self.missing.append(f"Landlock ({why})")
            return -1
        rules: list[landlock.Rule] = [(place, landlock.READ) for place in (*own_code(), *LIBRARIES)]
        rules += [(place, landlock.READ) for place in (*needs.reads, *(("/proc/self",) if needs.shares else ()))]
        rules += [(place, landlock.READ | landlock.CHANGE) for place in needs.writes]
        try:
            return landlock.ruleset(rules)
        except OSError as error:
            self.missing.append(f"Landlock ({error.strerror})")
            return -1

    def _seccomp(self, needs: Needs) -> Filter | None:
        try:
            return launcher_filter(
                writes=bool(needs.writes),
                attributes=needs.shares,
                accepts=needs.accepts,
                tap=needs.tap,
                kvm=needs.kvm,
            )
        except UnavailableError as error:
            self.missing.append(f"seccomp ({error})")
            return None

    def put_up(self) -> None:
        """No way back."""
        for name in NOTHING_OF:
            _limit(f"RLIMIT_{name}", 0)
        _limit("RLIMIT_DATA", MOST_DATA)
        with suppress(OSError, ValueError):
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
        if not no_new_privileges():
            self.missing.append("no-new-privs (this kernel refuses it)")
        if self._ruleset >= 0:
            try:
                if threading.active_count() > 1:  # the others would be outside
                    self.missing.append("Landlock (other threads run)")
                else:
                    landlock.restrict(self._ruleset)
            except OSError as error:
                self.missing.append(f"Landlock ({error.strerror})")
        if self._filter:
            try:
                self._filter.load()
            except UnavailableError as error:
                self.missing.append(f"seccomp ({error})")
        self.close()

    def close(self) -> None:
        """Release what was prepared."""
        if self._ruleset >= 0:
            os.close(self._ruleset)
            self._ruleset = -1
        if self._filter:
            self._filter.close()
            self._filter = None

    def told(self) -> str:
        """One line on them."""
        names = ["no-new-privs", "Landlock", "seccomp"]
        up = [name for name in names if not any(each.startswith(name) for each in self.missing)]
        said = ["the Launcher is behind " + (" and ".join(filter(None, [", ".join(up[:-1]), *up[-1:]])) or "no walls")]
        return "; without ".join([*said, *self.missing])


def _limit(name: str, most: int) -> None:
    if wanted := lowered(name, most):
        with suppress(OSError, ValueError):
            resource.setrlimit(*wanted)
