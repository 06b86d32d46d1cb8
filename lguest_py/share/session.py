# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests on their way: answered at once, or by a thread when they can take long, and never with any waiting here.

A request on a local file system is answered at once, straight between the file and the Guest's memory: a thread would
cost more than most requests.  What can take long (an fsync, data that is not in the page cache, writes while the last
one had to wait, anything on a network or FUSE file system) is done by a thread, in order, and everything after it until
it has caught up.  The thread has copies of requests and replies and never touches the Guest's memory, so the Guest can
be reset, and its memory gone, while the thread hangs in a call.
Read next: server.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from lguest_py.share.descriptors import budget
from lguest_py.share.openfiles import WouldWait
from lguest_py.share.server import MOST, SHORTEST, Server, ShortBuffers
from lguest_py.share.tree import Tree
from lguest_py.share.wire import HEADER, IO_HEADER, REQUESTS, STRING, WRITE_HEADER, T, gather, rlerror, spread

GRACE = 1.0  # seconds for what is on its way at the end of the run
_MOST_LEFT = 8
_LONGEST_REPLY = 0x11000  # bytes of one that carries no data
Key = TypeVar("Key")


@dataclass(eq=False)
class _Job:
    """What the thread knows of a request.  It has nothing that leads to the Guest's memory."""

    tag: int
    message: bytes
    room: int
    reply: bytes = b""
    error: Exception | None = None
    begun: bool = False
    cancelled: bool = False


class Worker(Generic[Key]):
    """Does jobs in order in a thread; ``event`` is readable when some are done."""

    def __init__(self, server: Server) -> None:
        self._keys: dict[_Job, Key] = {}  # of the jobs that were not collected
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: SimpleQueue[_Job] = SimpleQueue()
        self._lock = Lock()
        self._abandoned = False
        self.event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.thread = Thread(target=self._run, args=(server,), name="share", daemon=True)
        self.thread.start()

    @property
    def busy(self) -> bool:
        """Whether jobs are left that were not collected."""
        return bool(self._keys)

    def submit(self, key: Key, job: _Job) -> None:
        """Do it after all others."""
        self._keys[job] = key
        self._jobs.put(job)

    def collect(self) -> Iterator[tuple[Key, bytes]]:
        """The replies of those that are done."""
        try:
            os.eventfd_read(self.event)
        except BlockingIOError:
            return
        while not self._done.empty():
            job = self._done.get()
            if job.error:
                raise job.error
            yield self._keys.pop(job), job.reply

    def cancel(self, tag: int) -> tuple[bool, Key | None]:
        """Whether there is a job with this tag, and its key if it will not be done now."""
        for job in self._keys:
            if job.tag == tag:
                with self._lock:
                    if job.begun:
                        return True, None
                    job.cancelled = True
                return True, self._keys.pop(job)
        return False, None

    def abandon(self) -> None:
        """Nobody waits any more: end as soon as the job of now is done, and close the server."""
        with self._lock:
            self._abandoned = True
        self._keys.clear()
        self._jobs.put(None)

    def _run(self, server: Server) -> None:
        while job := self._jobs.get():
            with self._lock:
                if self._abandoned:
                    break
                if job.cancelled:
                    continue
                job.begun = True
            reply = bytearray(job.room)
            try:
                count = server.answer([memoryview(job.message)], [memoryview(reply)])
                job.reply = bytes(memoryview(reply)[:count])
            except Exception as error:  # a fault of ours: the Launcher shall end by it, not this thread alone
                job.error = error
            self._done.put(job)
            os.eventfd_write(self.event, 1)
        server.close()
        os.close(self.event)


class Session(Generic[Key]):
    """Serves the folder ``path``; raises OSError when it cannot be opened.  A ``Key`` is the caller's for a request."""

    def __init__(self, path: str, readonly: bool) -> None:
        limit = budget()
        self._server = Server(Tree.open_folder(path, limit), readonly, limit)
        self._worker: Worker[Key] | None = None
        self._early: list[tuple[Key, bytes]] = []  # replies to cancelled requests
        self._left: list[Thread] = []  # threads of sessions before a reset, which may hang
        self.always_wait = False  # for measurements: give everything to the thread

    @property
    def failure(self) -> OSError | None:
        """The first error of the Host's disk."""
        return self._server.failure

    @property
    def busy(self) -> bool:
        """Whether a request was not answered."""
        return bool(self._early or (self._worker and self._worker.busy))

    @property
    def in_use(self) -> bool:
        """Whether the Guest has fids: it is mounted."""
        return self._server.in_use

    def watched(self) -> tuple[int, ...]:
        """Descriptors that are readable when ``finished`` has something."""
        return (self._worker.event,) if self._worker else ()

    def handle(self, key: Key, readable: Sequence[memoryview], writable: Sequence[memoryview]) -> int | None:
        """Take a request: returns how many bytes of ``writable`` the reply has, or None when it comes later.

        Raises ShortBuffers.
        """
        worker = self._worker
        head = gather(readable, IO_HEADER)
        if not (self.always_wait or (worker and worker.busy) or self._server.may_wait(head)):
            try:
                return self._server.answer(readable, writable, at_once=True)
            except WouldWait:
                pass
        total = sum(map(len, writable))
        if len(head) < HEADER.size or total < SHORTEST:
            raise ShortBuffers
        size, kind, tag = HEADER.unpack_from(head)
        if kind == T.FLUSH and worker and self._flushed(worker, gather(readable, IO_HEADER)):
            self._early.append((key, HEADER.pack(HEADER.size, T.FLUSH + 1, tag)))
            return None
        if not worker:
            self._left = [thread for thread in self._left if thread.is_alive()]
            if len(self._left) >= _MOST_LEFT:
                spread(rlerror(tag, errno.EBUSY), writable)
                return SHORTEST
            worker = self._worker = Worker(self._server)
        # All of a write: older kernels leave the data out of the size.
        message = gather(readable, MOST if kind == T.WRITE else max(HEADER.size, min(size, MOST)))
        worker.submit(key, _Job(tag, message, min(total, _room(message))))
        return None

    def _flushed(self, worker: Worker[Key], message: bytes) -> bool:
        """Whether a Tflush can be answered now: its request was not begun, or is answered already."""
        if len(message) < HEADER.size + STRING.size:
            return False
        tag = STRING.unpack_from(message, HEADER.size)[0]
        found, key = worker.cancel(tag)
        if key is not None:
            self._early.append((key, rlerror(tag, errno.EINTR)))
        return key is not None or not found

    def finished(self) -> Iterator[tuple[Key, bytes]]:
        """Replies that came later, each once."""
        while self._early:
            yield self._early.pop(0)
        if self._worker and self._worker.busy:
            yield from self._worker.collect()

    def reset(self) -> None:
        """Forget all requests and fids."""
        self._early.clear()
        worker, self._worker = self._worker, None
        if not worker:
            if self._server.all_local:
                self._server.reset()
                return
            worker = Worker(self._server)  # closing files there can take long as well
        server = self._server
        self._server = server.another()
        self._server.failure = server.failure
        worker.abandon()
        self._left.append(worker.thread)

    def close(self) -> None:
        """The end.  What hangs in a call gets a moment, and is left behind then."""
        self.reset()
        self._server.close()
        for thread in self._left:
            thread.join(GRACE)


def _room(message: bytes) -> int:
    """How much room the reply can need."""
    if message[4] in (T.READ, T.READDIR) and len(message) >= WRITE_HEADER:
        count: int = REQUESTS[T.READ].read(message[:WRITE_HEADER])[2]
        return min(IO_HEADER + count, MOST)
    return _LONGEST_REPLY
