# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of other formats than raw: qemu-nbd reads and writes them, as a child, at a Unix socket in a private folder.

The folder is gone when the connections are made.  The server takes QEMU's locks of the image itself, and ends when its
last connection does: also when this process is killed.
Read next: nbd.py, the client.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress

from lguest_py.disks.nbd import Nbd
from lguest_py.disks.workers import THREADS
from lguest_py.errors import LguestError
from lguest_py.sandbox import landlock
from lguest_py.sandbox.child import DEVICES, walled

PROGRAM = "qemu-nbd"
START, END, STEP = 20.0, 30.0, 0.005  # seconds to wait for it: to listen, to end; between two looks


def _arguments(program: str, socket: str, path: str, image_format: str, readonly: bool) -> list[str]:
    name = os.path.abspath(path).replace(",", ",,")  # QEMU's escape; and no name is taken for a protocol
    mode = "on" if readonly else "off"
    image = f"driver={image_format},read-only={mode},file.driver=file,file.filename={name}"
    flags = ["--read-only"] if readonly else []
    common = [f"--socket={socket}", f"--shared={THREADS}", "--cache=writeback", "--discard=unmap"]
    return [program, *common, *flags, "--image-opts", image]


def _rules(folder: str, path: str, readonly: bool) -> list[landlock.Rule]:
    """It reads any file, since an image names those that it is based on, and writes its own only."""
    own = landlock.READ_FILE | landlock.WRITE_FILE | landlock.TRUNCATE | landlock.IOCTL_DEV
    rules: list[landlock.Rule] = [("/", landlock.RUN), (folder, landlock.MAKE_SOCK | landlock.REMOVE_FILE)]
    rules += [(place, landlock.WRITE_FILE) for place in DEVICES]
    return rules if readonly else [*rules, (os.path.abspath(path), own)]


def open_image(path: str, printed: str, image_format: str, readonly: bool) -> Nbd:
    """Start the server for an image, and connect.  Raises LguestError."""
    program = shutil.which(PROGRAM)
    if not program:
        raise LguestError(
            f"{printed} is a {image_format} image, and {PROGRAM} is not installed: apt-get install qemu-utils"
        )
    with tempfile.TemporaryDirectory(prefix="lguest-py-") as folder, ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        socket = os.path.join(folder, "disk")
        with walled(_rules(folder, path, readonly), {"RLIMIT_CORE": 0}, signal.SIGTERM) as prepare:
            process = subprocess.Popen(
                _arguments(program, socket, path, image_format, readonly),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,  # so that Ctrl-C does not end it before its image is written
                preexec_fn=prepare,
            )
        stack.callback(_end, process)
        disk = _connect(socket, process, readonly, stack)
        if disk is None:
            errors.seek(0)
            raise LguestError(_reason(printed, image_format, errors.read().decode("utf-8", "replace")))
        return disk


def _connect(socket: str, process: subprocess.Popen[bytes], readonly: bool, stack: ExitStack) -> Nbd | None:
    """The disk, which then owns what is on ``stack``; None when the server ended or did not listen."""
    until = time.monotonic() + START
    kept = ExitStack()
    while time.monotonic() < until and process.poll() is None:
        with suppress(FileNotFoundError, ConnectionError):
            disk = Nbd(socket, readonly, kept.close)
            kept.push(stack.pop_all())
            return disk
        time.sleep(STEP)
    process.terminate()
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end, which comes with that of the last connection; hasten it after a while."""
    if process.poll() is None and not _ends(process, END):
        with suppress(PermissionError):  # behind its walls this process signals no other, and its own end will
            process.terminate()
            if not _ends(process, END):
                process.kill()
                process.wait()


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _reason(printed: str, image_format: str, text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line]
    if any("lock" in line for line in lines):
        return f"{printed} is in use by another program or disk, which would destroy it: end that first, or use a copy"
    last = lines[0].removeprefix(f"{PROGRAM}: ") if lines else "it does not answer"
    return f"{printed} cannot be opened as a {image_format} image ({last}): look at it with qemu-img info"
