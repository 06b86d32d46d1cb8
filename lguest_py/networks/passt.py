# SPDX-License-Identifier: GPL-2.0-or-later
"""The rootless network: passt, a child process that makes sockets of the Host's user out of the Guest's frames.

The Guest gets its address by DHCP: 10.0.2.15, its gateway is 10.0.2.2 (10.0.3.x for the second card).  A TCP connection
or a UDP datagram to the gateway goes to the Host's loopback.  passt needs no privilege; started as root it becomes
nobody.  It ends when its socket is closed, so also when the Launcher is killed.

Read next: stream.py, the socket's format.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence

from lguest_py.errors import EngineError, UsageError
from lguest_py.files.descriptors import check
from lguest_py.hardware import Publish
from lguest_py.networks.link import LinkGone
from lguest_py.networks.stream import SOCKET_BYTES, Stream
from lguest_py.sandbox.child import walled

PASST = "passt"
MTU = 65520
START_SECONDS = 10.0  # a limit; it takes some 20 ms
END_SECONDS = 5.0  # from the end of the socket to that of the process
_NOISE = ("Failed to send", "Don't run as root")  # lines of passt that tell the user nothing
_ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")


class NetworkError(EngineError):
    """The back end of a network could not be started."""


def _plan(number: int) -> tuple[str, str]:
    """The addresses of the Guest and of its gateway, on card ``number``."""
    return f"10.0.{2 + number}.15", f"10.0.{2 + number}.2"


def _forward(publish: Sequence[Publish]) -> list[str]:
    """passt's options for the ports of the Host that are the Guest's."""
    options = []
    for each in publish:
        where = f"{each.address}/" if each.address else ""
        options += ["-t" if each.protocol == "tcp" else "-u", f"{where}{each.host}:{each.guest}"]
    return options


def check_ports(publish: Sequence[Publish]) -> None:
    """Raise UsageError for a port that cannot be had.  passt would go on with the other IP version alone."""
    for each in publish:
        kind = socket.SOCK_STREAM if each.protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in each.address else socket.AF_INET
        with socket.socket(family, kind) as sock:
            if each.protocol == "tcp":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((each.address, each.host))
                if each.protocol == "tcp":
                    sock.listen(1)
            except OSError as error:
                check(error)
                where = f"{each.address + ' ' if each.address else ''}{each.protocol} port {each.host}"
                why = os.strerror(error.errno) if error.errno else str(error)
                raise UsageError(f"cannot publish {where} of the Host ({why}): choose another port") from None


class _Process:
    """A passt, our end of its socket, and what it says."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.socket, theirs = socket.socketpair()
        # What finds no room there is dropped by passt, and a TCP connection may then stand still for two seconds.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self._says, says = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # Its own walls (namespaces, seccomp) need a mount, which Landlock forbids.
            with walled(None, {"RLIMIT_CORE": 0}) as prepare:
                self._process = subprocess.Popen(
                    [*arguments, "--fd", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=says,
                    stderr=says,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # so that Ctrl-C signals only this process
                    preexec_fn=prepare,
                )
        except OSError as error:
            self.socket.close()
            os.close(self._says)
            check(error)
            raise NetworkError(f"cannot start {arguments[0]} ({error.strerror}): install passt anew") from None
        finally:
            os.close(says)
            theirs.close()

    def is_ready(self, mac: bytes, gateway: str) -> bool:
        """Ask for the gateway's MAC and wait for the answer; False: passt ended."""
        ours = socket.inet_aton(gateway)
        frame = _ARP.pack(b"\xff" * 6, mac, 0x806, 1, 0x800, 6, 4, 1, mac, bytes(4), bytes(6), ours)
        self.socket.settimeout(START_SECONDS)
        try:
            self.socket.sendall(len(frame).to_bytes(4, "big") + frame)
            size = int.from_bytes(self.socket.recv(4, socket.MSG_WAITALL), "big")
            return bool(size and self.socket.recv(size, socket.MSG_WAITALL))
        except TimeoutError:  # it does not answer such questions, and runs
            return True
        except OSError:
            return False

    def end(self, seconds: float) -> str:
        """Wait for the end of the process, which closed its socket or got ours closed, or kill it; how it ended."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            try:
                self._process.kill()
            except PermissionError:  # it is nobody's, or this process may signal no other
                return "does not end"
            status = self._process.wait()
        with contextlib.suppress(BlockingIOError):
            lines = os.read(self._says, 1 << 16).decode(errors="replace").splitlines()
            for line in reversed(lines):
                if line.strip() and not line.startswith(_NOISE):
                    return line.strip()
        return f"killed by signal {-status}" if status < 0 else f"ended with status {status}"

    def close(self) -> None:
        """End the process."""
        self.socket.close()
        self.end(END_SECONDS)
        os.close(self._says)


class Passt(Stream):
    """The link to a passt of its own, which makes the frames that it sends, with their checksums."""

    verified = True

    def __init__(self, process: _Process, mac: bytes) -> None:
        super().__init__(PASST, process.socket, mac, MTU)
        self._process = process

    def _gone(self, how: str) -> LinkGone:
        return LinkGone(self._process.end(END_SECONDS))

    def close(self) -> None:
        """See Link."""
        self._process.close()


def start_passt(number: int, mac: bytes, publish: Sequence[Publish]) -> Passt:
    """A passt for the card ``number``.  Raises NetworkError, and UsageError for a port that is in use."""
    program = shutil.which(PASST)
    if program is None:
        raise NetworkError("the network without privileges needs passt, which is not installed: apt-get install passt")
    check_ports(publish)
    guest, gateway = _plan(number)
    own_mac = f"52:55:0a:00:{2 + number:02x}:02"
    arguments = [
        *(program, "--foreground", "--quiet", "--stderr", "--mtu", str(MTU)),
        *("--address", guest, "--netmask", "24", "--gateway", gateway, "--mac-addr", own_mac),
        *_forward(publish),
    ]
    complaint = ""
    # On a Host without a network passt, up to 2024, wants to be told an interface, though it has the addresses.
    for more in ((), ("--interface", "lo")):
        process = _Process([*arguments, *more])
        if process.is_ready(mac, gateway):
            return Passt(process, mac)
        process.socket.close()
        complaint = complaint or process.end(END_SECONDS)
        process.close()
    raise NetworkError(f"passt does not start: {complaint}")
