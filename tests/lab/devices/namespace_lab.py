# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces for tests: nothing of a test is seen on the machine's own network, and nothing stays behind.

Root only, since a process with threads cannot make a user namespace for itself; CI is root on the machine and in the
carrier.  Read next: tests/networks/test_taps.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def network_namespace() -> Iterator[None]:
    """A new namespace, with its loopback up, for this thread and the processes that it starts."""
    if os.geteuid():
        pytest.skip("makes a network namespace, which needs root: sudo, or tools/run-in-kvm")
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.unshare(CLONE_NEWNET))
        try:
            ip("link set lo up")
            yield
        finally:
            _checked(_libc.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


def ip(arguments: str) -> str:
    """What the command ip prints."""
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"ip {arguments}: {done.stderr}"
    return done.stdout


def needs_taps() -> None:
    """Skip where the kernel has no taps."""
    if not Path("/dev/net/tun").exists():
        pytest.skip("the kernel has no /dev/net/tun: modprobe tun")


@contextlib.contextmanager
def wire(interface: str) -> Iterator[socket.socket]:
    """A socket that sends and receives whole frames at the Host's end of a tap."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.bind((interface, 0))
        sock.settimeout(10)
        yield sock
