# SPDX-License-Identifier: GPL-2.0-or-later
"""A process outside of the Launcher's walls, and of ``--chroot``, that does there what the Launcher cannot do any more.

It starts QEMU for each boot of the Guest, connects to the Unix sockets of a vsock, and removes the Launcher's sockets
and empty files at the end.  The command is fixed, and a QEMU of root's enters the same folder and becomes the same user
before the Guest runs.  It connects as that user.  It learns all names before the Launcher is confined.  It ends, and
QEMU with it, when the Launcher does.

The Launcher sends a request, a JSON object in one message, and waits for the answer, another.
Read next: lguest_py/cli/confinement.py, which makes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from typing import Any, NoReturn

from lguest_py.engines.ram import OPEN_FILES
from lguest_py.engines.tcg import find_qemu, qemu_command, sandbox_options, start_qemu
from lguest_py.errors import EngineError, UsageError
from lguest_py.files.unix_sockets import connected
from lguest_py.sandbox import child

MESSAGE = 4096
DESCRIPTORS = 5, 6, 7  # of a start: it may have where QEMU listens for gdb, and what it reads (incoming.py)
IGNORED = "SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGPIPE"
Identity = tuple[str, int, int, bool]  # path, device, inode; whether it is to be removed only if it is empty


def confining_options(chroot: str, user: str) -> list[str]:
    """QEMU's own options to enter a folder and to become a user.  Raises UsageError for a QEMU that lacks one."""
    qemu, _ = find_qemu() or ("", "")
    done = subprocess.run([qemu, "-help"], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    known = set(re.findall(r"^-(\S+)", done.stdout, re.MULTILINE))
    match = re.search(r"^-run-with .*\n(?:[ \[].*\n)*", done.stdout, re.MULTILINE)
    run_with, options = match[0] if match else "", []
    for name, old, value in (("chroot", "chroot", chroot), ("user", "runas", user)):
        if value and f"{name}=" in run_with:
            options += ["-run-with", f"{name}={value.replace(',', ',,')}"]
        elif value and old in known:
            options += [f"-{old}", value]
        elif value:
            option = "--chroot" if value == chroot else "--username"
            raise UsageError(f"{option}: {qemu} has no option for it: leave it out, or give --engine kvm")
    return options


def _vsock_of(path: str) -> str:
    """The vsock's socket beside which this one is; "": it cannot be one."""
    match = re.fullmatch(r"(.+)_[0-9]{1,10}", path, re.ASCII | re.DOTALL)
    return match[1] if match else ""


class _Process:
    """The other process."""

    def __init__(self, link: socket.socket, confining: Sequence[str] | None, user: str) -> None:
        self._link, self._confining, self._user = link, confining, user
        self._qemu: subprocess.Popen[bytes] | None = None
        self._files: list[Identity] = []
        self._vsocks: list[str] = []
        self._folders: list[str] = []
        self._sealed = False

    def run(self) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(self._link, MESSAGE, DESCRIPTORS[-1])
            if not data:
                break
            answer: dict[str, Any] = {"error": "a request that cannot be"}
            given: list[socket.socket] = []
            try:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    answer = self._serve(json.loads(data), fds, given) or answer
                socket.send_fds(self._link, [json.dumps(answer).encode()], [each.fileno() for each in given])
            finally:
                for fd in fds:
                    os.close(fd)
                for each in given:
                    each.close()
        if self._qemu and self._qemu.poll() is None:
            self._qemu.kill()
            self._qemu.wait()
        for path, device, inode, if_empty in self._files:
            with contextlib.suppress(OSError):
                facts = os.lstat(path)
                if (facts.st_dev, facts.st_ino) == (device, inode) and not (if_empty and facts.st_size):
                    os.unlink(path)
        for folder in self._folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _serve(self, request: dict[str, Any], fds: Sequence[int], given: list[socket.socket]) -> dict[str, Any]:
        match request:
            case {"do": "remove", "files": [*files], "vsocks": [*vsocks], "folders": [*folders]} if not self._sealed:
                found = [(str(path), int(dev), int(ino), bool(empty)) for path, dev, ino, empty in files]
                self._files, self._sealed = found, True
                self._vsocks = [str(path) for path in vsocks]
                self._folders = [str(path) for path in folders]
            case {"do": "connect", "to": str(path)} if _vsock_of(path) in self._vsocks:
                return self._connect(path, given)
            case {"do": "start", "size": int(size), "gdb": bool(gdb)} if (
                self._confining is not None and len(fds) - gdb in DESCRIPTORS[:2]
            ):
                return self._start(size, fds, self._confining, gdb=gdb)
            case {"do": "kill"} if self._qemu:
                self._qemu.kill()
            case {"do": "wait", "seconds": float(seconds)} if self._qemu:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return {"status": self._qemu.wait(max(0.0, min(seconds, 60.0)))}
            case _:
                return {}
        return {"done": True}

    def _connect(self, path: str, given: list[socket.socket]) -> dict[str, Any]:
        groups, group = os.getgroups(), os.getegid()
        try:
            if self._user:
                user = pwd.getpwnam(self._user)
                os.initgroups(self._user, user.pw_gid)
                os.setegid(user.pw_gid)
                os.seteuid(user.pw_uid)
            given.append(connected(path))
        except OSError as error:
            return {"refused": error.errno or 0}
        finally:
            if self._user:
                os.seteuid(0)
                os.setegid(group)
                os.setgroups(groups)
        return {"done": True}

    def _start(self, size: int, fds: Sequence[int], confining: Sequence[str], *, gdb: bool) -> dict[str, Any]:
        found = find_qemu()
        if found is None or (self._qemu and self._qemu.poll() is None):
            return {"error": "QEMU is no longer there"}
        ram, *ends, errors = fds
        command = [*qemu_command(found[0], size, f"{OPEN_FILES}/{ram}", ends, gdb=gdb), *confining]
        command += sandbox_options(same_user=not confining)
        try:
            self._qemu = start_qemu(command, fds[:-1], errors, size)
        except OSError as error:
            return {"error": f"QEMU cannot be started ({error.strerror})"}
        return {"done": True}


class Keeper:
    """The Launcher's end.  Made before any thread is; ``close`` it."""

    def __init__(self, confining: Sequence[str] | None, user: str = "") -> None:
        """``confining``: QEMU's options for it (``confining_options``); None: it starts no QEMU.

        ``user``: as whom it connects; "": as who it is.
        """
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if not self._pid:
            self._link.close()
            _be_the_process(theirs, confining, user)
        theirs.close()

    def _exchange(self, request: dict[str, Any], fds: Sequence[int] = ()) -> tuple[dict[str, Any], list[int]]:
        given: list[int] = []
        try:
            socket.send_fds(self._link, [json.dumps(request).encode()], fds)
            data, given, _, _ = socket.recv_fds(self._link, MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
            answer: dict[str, Any] = json.loads(data or b'{"error": "it has ended"}')
        except OSError as error:
            answer = {"error": error.strerror}
        if "error" in answer:
            raise EngineError(f"the process outside of the walls: {answer['error']}; start the Guest anew")
        return answer, given

    def _ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        return self._exchange(request, fds)[0]

    def spawn(self, size: int, fds: Sequence[int], *, gdb: bool = False) -> Keeper:
        """Start QEMU (lguest_py.engines.tcg.Spawn)."""
        self._ask({"do": "start", "size": size, "gdb": gdb}, fds)
        return self

    def poll(self) -> int | None:
        """See Child."""
        status: int | None = self._ask({"do": "wait", "seconds": 0.0}).get("status")
        return status

    def wait(self, timeout: float | None = None) -> int:
        """See Child."""
        seconds = 60.0 if timeout is None else float(timeout)
        status: int | None = self._ask({"do": "wait", "seconds": seconds}).get("status")
        if status is None:
            raise subprocess.TimeoutExpired("QEMU", seconds)
        return status

    def kill(self) -> None:
        """See Child."""
        self._ask({"do": "kill"})

    def remove_at_the_end(
        self,
        paths: Sequence[str],
        vsocks: Sequence[str] = (),
        if_empty: Sequence[str] = (),
        folders: Sequence[str] = (),
    ) -> None:
        """Make it remove these files at the end, and let it connect to the sockets of ``vsocks``.

        ``if_empty``: remove these only if they are; ``folders``, too.  Once only, before the Launcher is confined.
        """
        files = []
        for path in (*paths, *if_empty):
            facts = os.lstat(path)
            files.append((os.path.abspath(path), facts.st_dev, facts.st_ino, path in if_empty))
        self._ask({"do": "remove", "files": files, "vsocks": list(vsocks), "folders": list(folders)})

    def connect(self, path: str) -> socket.socket:
        """A connection to this Unix socket: one of ``vsocks`` with _ and a port behind it.  Raises OSError."""
        answer, given = self._exchange({"do": "connect", "to": path})
        if not given:
            error = int(answer.get("refused", 0))
            raise OSError(error, os.strerror(error))
        made = socket.socket(fileno=given[0])
        made.setblocking(False)
        return made

    def close(self) -> None:
        """End it, and QEMU with it."""
        self._link.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _be_the_process(link: socket.socket, confining: Sequence[str] | None, user: str) -> NoReturn:
    """The rest of the other process's life, which no handler of the Launcher's sees."""
    status = 1
    try:
        os.setsid()
        if child.enabled():
            child.no_new_privileges()
        signal.set_wakeup_fd(-1)
        for name in IGNORED:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):  # the Launcher's reader waits for the end of its output, and not for ours
            os.dup2(nothing, standard)
        keep = link.fileno()
        os.closerange(3, keep)
        os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") > 0 else 4096)
        _Process(link, confining, user).run()
        status = 0
    finally:
        os._exit(status)
