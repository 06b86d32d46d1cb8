# SPDX-License-Identifier: GPL-2.0-or-later
"""Random bytes for the Guest: queue 0 has buffers to be filled.  They come from the operating system, or from a file.

The file may be slow (a FIFO, a hardware's generator): it is never waited for.  When it is at its end, or fails, the
operating system takes its place, and the user is told once.
Source: virtio 1.2, section 5.4.  Read next: lguest_py/devices/virtqueue.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence

from lguest_py.devices.device import Defaults, Progress, Say
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import Chain, Virtqueue
from lguest_py.errors import UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import printable
from lguest_py.hardware import Entropy

PIECE, CHAINS = 4096, 16  # bytes for one chain, chains of one call of ``service``
ADVICE = "name a file or a device that you may read, as /dev/random"


def _opened(path: str) -> int:
    """A descriptor whose reads never wait.  Raises UsageError."""
    name, flags = printable(path), os.O_NONBLOCK | os.O_CLOEXEC
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{name} cannot give random bytes: it is a folder; {ADVICE}")
        if stat.S_ISFIFO(mode) and os.access(path, os.W_OK):
            return os.open(path, os.O_RDWR | flags)  # else it would be at its end whenever nobody writes
        return os.open(path, os.O_RDONLY | flags)
    except (OSError, ValueError) as error:
        check(error)
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{name} cannot give random bytes ({reason}): {ADVICE}") from None


class EntropyDevice(Defaults):
    """Virtio device 4."""

    name = "entropy"
    type = 4
    queue_sizes = (64,)
    features = 0

    def __init__(self, spec: Entropy, say: Say) -> None:
        self._path = spec.path
        self._say = say
        self._fd = _opened(spec.path) if spec.path else -1
        self._queue: Virtqueue | None = None
        self._waiting: Chain | None = None  # for the file

    def config(self) -> bytes:
        """See Device."""
        return b""

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        """See Device."""
        self._queue = queues[0]

    def reset(self) -> None:
        """See Device."""
        self._queue = self._waiting = None

    def watched(self) -> Collection[int]:
        """See Device."""
        return (self._fd,) if self._waiting and self._fd >= 0 else ()

    def service(self) -> Progress:
        """See Device."""
        queue = self._queue
        if not queue:
            return Progress.IDLE
        try:
            for _ in range(CHAINS):
                chain = self._waiting = self._waiting or queue.pop()
                if not chain:
                    return Progress.IDLE
                if chain.readable:
                    raise GuestError(f"{self.name}: a buffer to read from")
                written = self._fill(chain)
                if not written:
                    return Progress.IDLE
                queue.push(chain, written)
                self._waiting = None
        finally:
            queue.notify()
        return Progress.MORE

    def _fill(self, chain: Chain) -> int:
        """Fill the begin of its buffers; how many bytes, 0 if there are none yet."""
        buffer = chain.writable[0]
        data = self._read(min(len(buffer), PIECE))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        if self._fd < 0:
            return os.urandom(size)
        try:
            data = os.read(self._fd, size)
        except BlockingIOError:
            return b""
        except OSError as error:
            return self._instead(f"cannot be read any more ({error.strerror})", size)
        return data or self._instead("is at its end", size)

    def _instead(self, why: str, size: int) -> bytes:
        self._say(f"{printable(self._path)} {why}: the Guest gets this machine's own random bytes from now on")
        self.close()
        return os.urandom(size)

    def close(self) -> None:
        """See Device."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
