# SPDX-License-Identifier: GPL-2.0-or-later
"""The share: a folder of the Host, by 9P over virtio.  One queue; a chain is a request and the room for its reply.

Source: virtio 1.2 has no section for device 9; its configuration is the length (u16) and the bytes of the tag.
Read next: lguest_py/share/session.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from typing import Any

from lguest_py.devices.device import Defaults, Progress, Say
from lguest_py.devices.errors import GuestError
from lguest_py.devices.virtqueue import Chain, Virtqueue
from lguest_py.errors import LguestError, UsageError
from lguest_py.hardware import Share
from lguest_py.share import Session, ShortBuffers
from lguest_py.share.wire import spread

MOUNT_TAG = 1
REQUESTS, BYTES = 64, 4 << 20  # of a call of ``service``


class Share9p(Defaults):
    """Virtio device 9."""

    type = 9
    queue_sizes = (256,)
    features = MOUNT_TAG

    def __init__(self, spec: Share, say: Say) -> None:
        self.name = f"share {spec.tag}"
        self._spec = spec
        self._say = say
        tag = os.fsencode(spec.tag)
        self._config = len(tag).to_bytes(2, "little") + tag
        self._queue: Virtqueue | None = None
        self._told = False
        try:
            if not stat.S_ISDIR(os.stat(spec.path).st_mode):
                raise UsageError(f"{spec.path!r} cannot be shared: it is not a folder; share the folder that it is in")
            self._session: Session[Chain] = Session(spec.path, spec.readonly)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{spec.path!r} cannot be shared: {reason}; name a folder that you may read") from None

    def config(self) -> bytes:
        """See Device."""
        return self._config

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        """See Device."""
        self._queue = queues[0]

    def reset(self) -> None:
        """See Device."""
        self._queue = None
        self._session.reset()

    def watched(self) -> Collection[int]:
        """See Device."""
        return self._session.watched()

    def service(self) -> Progress:
        """See Device."""
        queue = self._queue
        if not queue:
            return Progress.IDLE
        try:
            progress = self._serve(queue)
            for chain, reply in self._session.finished():
                spread(reply, chain.writable)
                queue.push(chain, len(reply))
        finally:
            queue.notify()
        if self._session.failure and not self._told:
            self._told = True
            self._say(f"share {self._spec.path!r}: {self._session.failure.strerror}; the Guest gets the error too")
        return progress

    def _serve(self, queue: Virtqueue) -> Progress:
        handle, moved = self._session.handle, 0
        for _ in range(REQUESTS):
            chain = queue.pop()
            if not chain:
                return Progress.IDLE
            try:
                written = handle(chain, chain.readable, chain.writable)
            except ShortBuffers:
                raise GuestError(f"{self.name}: a request of too few bytes, or no room for the reply") from None
            if written is not None:
                queue.push(chain, written)
                moved += written + sum(map(len, chain.readable))
                if moved > BYTES:
                    break
        return Progress.MORE

    def busy(self) -> bool:
        """See Device."""
        return self._session.busy

    def save(self) -> dict[str, Any]:
        """See Device: files that the Guest has open are this process's own."""
        if self._session.in_use:
            raise LguestError(f"{self.name} is mounted, and open files cannot be saved: umount it in the Guest")
        return {}

    def close(self) -> None:
        """See Device."""
        self._queue = None
        self._session.close()
