# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program that was taken over would try, from inside a process: each attempt's errno, or 0 where it succeeds.

    python tests/lab/sandbox/wall_climber.py FOLDER NEEDS [WALL …]

puts up the walls of ``Needs(**NEEDS)`` (JSON), or only those named, and prints the results as JSON.  FOLDER has what
tests/sandbox/test_walls.py made.  The attempts are functions, so that a test can make them in a Launcher too.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
# Numbers of x86-64 that no function of Python or libc calls.  Their arguments are wrong, so none would do anything.
BY_NUMBER = {
    "bpf": 321, "io_uring_setup": 425, "perf_event_open": 298, "userfaultfd": 323, "add_key": 248, "unshare": 272,
    "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "init_module": 175, "kexec_load": 246,
    "process_vm_readv": 310, "process_vm_writev": 311, "open_by_handle_at": 304, "pidfd_open": 434, "personality": 135,
    "setuid": 105, "setgid": 106, "capset": 126, "sethostname": 170, "settimeofday": 164, "reboot": 169, "swapon": 167,
    "ptrace": 101, "open": 2, "creat": 85, "execveat": 322, "clone3": 435, "memfd_secret": 447,
    "acct": 163, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "quotactl": 179, "syslog": 103, "shmget": 29,
}  # fmt: skip


def _call(name: str, *arguments: int) -> None:
    if LIBC.syscall(ctypes.c_long(BY_NUMBER[name]), *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)


def _open(path: str, flags: int = os.O_RDONLY) -> Callable[[], None]:
    return lambda: os.close(os.open(path, flags, 0o600))


def _fork() -> None:
    if not os.fork():
        os._exit(0)


def _thread() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.set)
    thread.start()
    thread.join()
    assert done.is_set()


def _signal_itself() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    signal.raise_signal(signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert len(came) == 2


def _raise_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard + 1, hard + 1))


def _pair() -> None:
    for each in socket.socketpair():
        each.close()


def _limit_parent() -> None:
    which, parent = resource.RLIMIT_RTTIME, os.getppid()
    resource.prlimit(parent, which, resource.prlimit(parent, which))  # as it is


def _import() -> None:
    import colorsys
    import unicodedata

    assert colorsys.ONE_THIRD
    assert unicodedata.name("a")


def attempts(folder: str) -> dict[str, Callable[[], object]]:
    """By name.  ``folder`` has the folders given, shared and readonly, each with a file; disk is open as 9."""
    new = os.O_CREAT | os.O_WRONLY
    at = os.open("/", os.O_PATH)  # names are absolute; with it the calls are those that a share makes

    def move(old: str, to: str) -> None:
        os.rename(old, to, src_dir_fd=at, dst_dir_fd=at)

    tries: dict[str, Callable[[], object]] = {
        "read passwd": _open("/etc/passwd"),
        "read /proc/1": _open("/proc/1/status"),
        "read a file beside": _open(f"{folder}/secret"),
        "list the folder": lambda: os.listdir(folder),
        "write a file beside": _open(f"{folder}/secret", os.O_WRONLY),
        "make a file beside": _open(f"{folder}/new", new),
        "make a nameless file": _open(folder, os.O_TMPFILE | os.O_RDWR),
        "write in /tmp": _open(f"/tmp/lguest-py-escaped-{os.getpid()}", new),
        "open a device": _open("/dev/zero"),
        "remove a file beside": lambda: os.unlink(f"{folder}/secret", dir_fd=at),
        "truncate by name": lambda: os.truncate(f"{folder}/secret", 0),
        "change the mode beside": lambda: os.chmod(f"{folder}/secret", 0o777, dir_fd=at),
        "read in the share": _open(f"{folder}/shared/file"),
        "make in the share": _open(f"{folder}/shared/new", new),
        "move in the share": lambda: move(f"{folder}/shared/file", f"{folder}/shared/below/file"),
        "move out of the share": lambda: move(f"{folder}/shared/other", f"{folder}/other"),
        "link into the share": lambda: os.link(f"{folder}/secret", f"{folder}/shared/secret", dst_dir_fd=at),
        "follow a link out of the share": _open(f"{folder}/shared/link"),
        "make a device in the share": lambda: os.mknod(f"{folder}/shared/kmem", 0o20600, os.makedev(1, 2), dir_fd=at),
        "read in the readonly share": _open(f"{folder}/readonly/file"),
        "write in the readonly share": _open(f"{folder}/readonly/file", os.O_WRONLY),
        "make in the readonly share": _open(f"{folder}/readonly/new", new),
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "fork": _fork,
        "a socket of the network": lambda: socket.socket(socket.AF_INET).close(),
        "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        "a Unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "signal the parent": lambda: os.kill(os.getppid(), 0),
        "signal everything": lambda: os.kill(-1, 0),
        "type into the terminal": lambda: fcntl.ioctl(9, 0x5412, b"x"),
        "raise a limit": _raise_limit,
        "set a limit of the parent": _limit_parent,
        "chroot": lambda: os.chroot(folder),
        "a thread": _thread,
        "signal itself": _signal_itself,
        "write to the disk": lambda: os.pwrite(9, b"x", 0),
        "import a module": _import,
        "a pair of sockets": _pair,
        "memory for the next boot": lambda: os.close(os.memfd_create("test")),
    }
    if os.uname().machine == "x86_64":
        tries |= {f"call {name}": lambda name=name: _call(name, -1, -1, -1, -1, -1) for name in BY_NUMBER}  # type: ignore[misc]
    return tries


def results(folder: str, numbered: bool = True) -> dict[str, int]:
    """Try everything.  Not ``numbered``: without the calls that only seccomp refuses, and that would do something."""
    found = {}
    for name, attempt in attempts(folder).items():
        if not numbered and (name.startswith("call ") or name in ("fork", "run a program", "chroot")):
            continue
        try:
            attempt()
            found[name] = 0
        except OSError as error:
            found[name] = error.errno or -1
        except ValueError:  # setrlimit says so
            found[name] = 1
    return found


def main() -> None:
    """See the module."""
    from lguest_py.sandbox import landlock, walls

    folder, needs, *only = sys.argv[1:]
    os.dup2(os.open(f"{folder}/disk", os.O_RDWR), 9)
    if only and "landlock" not in only:
        landlock.version = lambda: (0, "left out")  # type: ignore[assignment]
    given: dict[str, Any] = {name: tuple(each) for name, each in json.loads(needs).items()}
    made = walls.Walls(walls.Needs(**given))
    if only and "seccomp" not in only:
        made._filter = None
    made.put_up()
    numbered = not only or "seccomp" in only
    print(json.dumps({"missing": made.missing, "results": results(folder, numbered)}))


if __name__ == "__main__":
    main()
