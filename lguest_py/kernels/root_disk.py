# SPDX-License-Identifier: GPL-2.0-or-later
"""Make a Guest's root disk with Debian's own tools: mmdebstrap for the system, mke2fs for the file system.

apt checks what mmdebstrap downloads.  It runs in namespaces of its own, so that its mounts and processes end with it.
As a plain user both run in a user namespace, where the system's files may belong to root; they are unpacked below
TMPDIR, as the user's own folders are closed to it.
Source: mmdebstrap(1), mke2fs(8).  Read next: system.py, the settings of the system.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lguest_py.console.progress import Progress
from lguest_py.errors import LguestError
from lguest_py.kernels import system
from lguest_py.kernels.apt import complaint
from lguest_py.sandbox.child import die_with_parent

SIZE = "4G"  # of the file system; only what is written takes room
NEEDED = 1200 << 20  # bytes below TMPDIR while it is made
ROOM = 700 << 20  # bytes that the image takes
LOOK = 1.0  # seconds between two looks at the processes and the room
ARCHITECTURE = "i386"
X86 = "x86_64", "i686", "i586", "i386"
RUNS_IT = ("--skip=check/qemu",)  # else mmdebstrap wants arch-test, to find out that an x86 CPU runs i386 programs
VARIANT = "minbase"  # which packages come without being named
HELPER = ("mmdebstrap", "--unshare-helper")
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")  # for root; else mmdebstrap does that
SUBORDINATES = "/etc/subuid", "/etc/subgid"
PROGRAMS = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "tar": "tar"}
SBIN = "/usr/sbin:/sbin"  # mke2fs is not on every user's path
# Unpacks the system from stdin, and makes the file system in an open file: the user's folders may be closed to it.
FORMAT = """\
set -e
mkdir tree
tar -C tree -xf - --exclude='./dev/*'
exec mke2fs -q -F -t ext4 -L {label} -E assume_storage_prezeroed=1,root_owner=0:0 -d tree /proc/self/fd/{image} {size}
"""
_FOLLOWS = re.compile(r"mmdebstrap failed|system failed")
_STEP = re.compile(rb"I: ([^\n]*)\n")


def edition() -> str:
    """A name for how the disk is made; which versions of the packages and of the kernel's modules is not in it."""
    whole = (SIZE, VARIANT, FORMAT, system.LABEL, system.PACKAGES, system.FILES, system.LINKS, system.FINISH)
    return hashlib.sha256(repr(whole).encode()).hexdigest()[:16]


def make(image: Path, modules: Path, sources: Sequence[str], suite: str, proxies: str) -> None:
    """Make the image, of the packages in ``sources`` (lines of a sources.list) and the kernel's ``modules``.

    ``proxies``: lines of an apt.conf.  Raises LguestError or OSError; what was begun is gone then.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
    for program, package in PROGRAMS.items():
        if not shutil.which(program, path=path):
            raise LguestError(f"{program} is not installed, and makes the root disk: apt-get install {package}")
    helper: tuple[str, ...] = ()
    if os.geteuid() != 0:
        helper = HELPER
        check_namespaces(path)
    with _scratch(helper) as scratch:
        _check_room(scratch, NEEDED)
        _check_room(image.parent, ROOM)
        (scratch / "sources.list").write_text("".join(f"{line}\n" for line in sources))
        (scratch / "apt.conf").write_text(proxies)
        system.write_tar(scratch / "files.tar", modules)
        (scratch / "finish").write_text(system.FINISH)
        for name in ("sources.list", "apt.conf", "files.tar", "finish"):
            (scratch / name).chmod(0o644)
        command = [
            *(() if helper else ALONE),
            *("mmdebstrap", f"--mode={'unshare' if helper else 'root'}", f"--architectures={ARCHITECTURE}"),
            *(RUNS_IT if platform.machine() in X86 else ()),
            *(f"--variant={VARIANT}", "--format=tar", f"--include={','.join(system.PACKAGES)}"),
            *("--dpkgopt=force-unsafe-io", f"--aptopt={scratch}/apt.conf"),
            f"--customize-hook=tar-in {shlex.quote(str(scratch))}/files.tar /",
            f'--customize-hook=sh {shlex.quote(str(scratch))}/finish "$1"',
            *(suite, "-", str(scratch / "sources.list")),
        ]
        with open(image, "xb") as disk:
            script = FORMAT.format(label=system.LABEL, size=SIZE, image=disk.fileno())
            image.parent.chmod(0o700)
            image.chmod(0o666)  # the namespace's root is a stranger, who opens it by its descriptor
            _run(command, [*helper, "sh", "-c", script], disk.fileno(), scratch, path)
            image.chmod(0o644)
            image.parent.chmod(0o755)
            os.fsync(disk.fileno())


@contextlib.contextmanager
def _scratch(helper: Sequence[str]) -> Iterator[Path]:
    """A folder below TMPDIR in which a namespace's root may write, too; all in it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="lguest-py."))
    try:
        folder.chmod(0o1777)
        (folder / "work").mkdir()
        (folder / "work").chmod(0o1777)
        yield folder
    finally:
        if helper:  # some files belong to the namespace's users
            remove = [*helper, "sh", "-c", 'rm -rf "$0"/*', str(folder / "work")]
            subprocess.run(remove, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _check_room(folder: Path, wanted: int) -> None:
    if shutil.disk_usage(folder).free < wanted:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {wanted >> 20} MB are needed there", str(folder))


def check_namespaces(path: str) -> None:
    """Raise LguestError where this user cannot have a user namespace with several users in it."""
    tried = subprocess.run(
        [*HELPER, "true"], env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if tried.returncode == 0:
        return
    import pwd

    user = pwd.getpwuid(os.geteuid()).pw_name
    if not shutil.which("newuidmap", path=path):
        raise LguestError("newuidmap is missing, without which only root can make a root disk: apt-get install uidmap")
    listed = all(re.search(rf"^{re.escape(user)}:", _text(name), re.M) for name in SUBORDINATES)
    if not listed:
        ids = "100000-165535"
        raise LguestError(
            f"{user} has no subordinate users in /etc/subuid and /etc/subgid, without which only root can make a root "
            f"disk: let root run usermod --add-subuids {ids} --add-subgids {ids} {user}"
        )
    raise LguestError(
        "this system allows no user namespaces, without which only root can make a root disk "
        f"({complaint(tried.stderr.decode(errors='replace'))}): run lguest-py fetch as root, or see user_namespaces(7)"
    )


def _text(name: str) -> str:
    with contextlib.suppress(OSError):
        return Path(name).read_text(errors="replace")
    return ""


def _run(making: Sequence[str], formatting: Sequence[str], image: int, scratch: Path, path: str) -> None:
    """Run both with a pipe between them.  Raises LguestError, or OSError where the room was too little."""
    environment = {**os.environ, "LC_ALL": "C", "PATH": path, "TMPDIR": str(scratch / "work")}
    with (
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as said_later,
        Progress("making the root disk") as progress,
    ):
        first = subprocess.Popen(
            making, env=environment, cwd=scratch / "work", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=said, start_new_session=True, preexec_fn=die_with_parent(),
        )  # fmt: skip
        processes = [first]
        try:
            assert first.stdout
            second = subprocess.Popen(
                formatting, env=environment, cwd=scratch / "work", stdin=first.stdout, stdout=subprocess.DEVNULL,
                stderr=said_later, pass_fds=(image,), start_new_session=True,
                preexec_fn=die_with_parent(),
            )  # fmt: skip
            processes.append(second)
            first.stdout.close()
            while any(process.poll() is None for process in processes):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    second.wait(LOOK)
                    first.wait(LOOK)
                progress.say(_last_step(said.fileno()))
                if second.poll():
                    break
        finally:
            for process in processes:
                _end(process)
        texts = [os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace") for file in (said, said_later)]
    made, formatted = (process.returncode for process in processes)
    if not made and not formatted:
        return
    if any(os.strerror(errno.ENOSPC) in text for text in texts):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"or to {tempfile.gettempdir()}")
    # When one fails the other lacks its partner.
    program, text = ("mke2fs", texts[1]) if formatted and not _errors(texts[0]) else ("mmdebstrap", texts[0])
    raise LguestError(f"{program} failed ({complaint((_errors(text) or [text])[0])}): try again later")


def _errors(text: str) -> list[str]:
    """mmdebstrap's complaints that are not about the failure of another program."""
    return [line for line in text.splitlines() if line.startswith("E: ") and not _FOLLOWS.search(line)]


def _last_step(said: int) -> str:
    found = _STEP.findall(os.pread(said, 1 << 20, 0))
    return found[-1].decode(errors="replace") if found else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and all that it started: a namespace's processes and mounts end with its first process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
