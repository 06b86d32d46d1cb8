# SPDX-License-Identifier: GPL-2.0-or-later
"""The walls of a program that this process starts: put up between fork and exec, so they are there from its first line.

Everything is opened and computed before the fork; the child makes a few system calls only.
Read next: landlock.py; lguest_py/engines/tcg.py, lguest_py/disks/qemu_nbd.py and lguest_py/networks/passt.py.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from lguest_py.sandbox import landlock

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
# Where a distribution has its programs, their libraries and data.
PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store")
LOADER = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_enabled = True


def disable() -> None:
    """Start programs without walls from now on (--no-sandbox)."""
    global _enabled
    _enabled = False


def enabled() -> bool:
    """Whether programs get walls."""
    return _enabled


@cache
def _prctl() -> Any:
    return ctypes.CDLL(None).prctl


def no_new_privileges() -> bool:
    """No program that this process starts gets more rights than it has.  False: this kernel does not know it."""
    return sys.platform == "linux" and not _prctl()(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def lowered(name: str, most: int) -> tuple[int, tuple[int, int]] | None:
    """The arguments of setrlimit for a limit of at most ``most``; None: it is as low, or this system has none."""
    number = getattr(resource, name, None)
    if number is None:
        return None
    infinite = resource.RLIM_INFINITY
    soft, hard = (most if each == infinite else min(each, most) for each in resource.getrlimit(number))
    return number, (soft, hard)


def program_rules(program: str) -> list[landlock.Rule]:
    """What ``program`` needs to start: itself, and what the system has for programs."""
    real = os.path.dirname(os.path.realpath(program))
    libraries = filter(os.path.isabs, os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    places = *PROGRAMS, real, os.path.dirname(os.path.abspath(program)), *libraries
    rules: list[landlock.Rule] = [(place, landlock.RUN) for place in places]
    rules += [(place, landlock.READ) for place in LOADER]
    return [*rules, *((place, landlock.READ_FILE | landlock.WRITE_FILE) for place in DEVICES)]


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None] | None:
    """For Popen's preexec_fn: signal the child when this process dies (Linux: prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform != "linux":
        return None
    prctl = _prctl()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)

    return prepare


@contextmanager
def walled(
    rules: Sequence[landlock.Rule] | None, limits: Mapping[str, int], death: signal.Signals = signal.SIGKILL
) -> Iterator[Callable[[], None] | None]:
    """For Popen's preexec_fn within the context: the child is behind the walls.

    It gets the signal ``death`` when this process dies.  ``rules``: what it may open; None: no Landlock.  ``limits``:
    most of each resource, by the name of its RLIMIT.
    """
    die = die_with_parent(death)
    if die is None:
        yield None
        return
    found = -1
    wanted = [each for name, most in limits.items() if (each := lowered(name, most))] if _enabled else []
    if _enabled and rules is not None and landlock.version()[0]:
        with suppress(OSError):
            found = landlock.ruleset(rules)

    def prepare() -> None:
        die()
        if not _enabled:
            return
        no_new_privileges()
        for number, pair in wanted:
            resource.setrlimit(number, pair)
        if found >= 0:
            with suppress(OSError):  # behind sixteen rulesets already
                landlock.restrict(found)

    try:
        yield prepare
    finally:
        if found >= 0:
            os.close(found)
