# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio disk: a request is done at once where that needs no waiting, and by a thread else.

Requests end in any order.  A flush waits for the writes that were asked for before it, so that a driver which does not
wait for them loses nothing.  An error of the Host is an I/O error to the Guest, and one line to the user for each kind.

Source: virtio 1.2, section 5.2.  Read next: block_request.py, lguest_py/disks/backend.py.
Next in the book: lguest_py/cli/boot.py.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lguest_py.devices import block_request as R
from lguest_py.devices.block_request import IO_ERROR, OK, SECTOR, UNSUPPORTED, Request
from lguest_py.devices.device import Defaults, Progress, Say
from lguest_py.devices.errors import GuestError
from lguest_py.disks.opening import open_disk
from lguest_py.disks.overlay import Overlay
from lguest_py.disks.workers import Workers
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.inputs import printable
from lguest_py.hardware import Disk

if TYPE_CHECKING:
    from lguest_py.devices.virtqueue import Virtqueue

F_SEG_MAX, F_RO, F_BLK_SIZE, F_FLUSH, F_TOPOLOGY, F_CONFIG_WCE, F_DISCARD, F_WRITE_ZEROES = (
    1 << bit for bit in (2, 5, 6, 9, 10, 11, 13, 14)
)
QUEUE_SIZE = 256
SEGMENTS = QUEUE_SIZE - 2  # data buffers in a chain, beside its header and status, indirect or not
RANGES = 32  # of one discard or write-zeroes
RANGE_SECTORS = (1 << 30) // SECTOR  # of one range
UNMAP = 1  # the flag of a range
ID_BYTES = 20
_CONFIG = struct.Struct("<QIIHBBIBBHIBxHIIIIIB3x")
_WRITEBACK = 32  # its offset there
AT_ONCE = 2 << 20  # bytes; a copy of more takes longer than others should wait
BUDGET_BYTES, BUDGET_REQUESTS = 8 << 20, 256  # of one call of service


class Block(Defaults):
    """Virtio device 2 (lguest_py.devices.device.Device says what the methods do)."""

    type = 2
    queue_sizes: Sequence[int] = (QUEUE_SIZE,)

    def __init__(self, spec: Disk, say: Say) -> None:
        self.name = f"disk {printable(spec.path)}"
        serial = os.fsencode(spec.serial or os.path.basename(spec.path))
        if spec.serial and len(serial) > ID_BYTES:
            raise UsageError(f"{self.name}: a serial of {len(serial)} bytes is too long: give at most {ID_BYTES}")
        self._id = serial[:ID_BYTES].ljust(ID_BYTES, b"\0")
        self._say = say
        self._told: set[tuple[str, int]] = set()
        self._disk = open_disk(spec, say)
        self._facts = facts = self._disk.facts
        self._capacity = facts.size // SECTOR
        self.features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE
        if facts.readonly:
            self.features |= F_RO
        elif facts.discards:
            self.features |= F_DISCARD | F_WRITE_ZEROES
        self._workers: Workers[Request] = Workers(self.name)
        self._changes: set[Request] = set()  # writes on their way
        self._flushes: dict[Request, set[Request]] = {}  # waiting for these changes
        self._queue: Virtqueue | None = None
        self._accepted = 0
        self._writeback = True  # as the configuration space says
        self._through = True

    def config(self) -> bytes:
        """See Device."""
        facts = self._facts
        exponent = (facts.physical // facts.block).bit_length() - 1
        topology = exponent, 0, facts.physical // facts.block, 0
        ranges = (RANGE_SECTORS, RANGES, facts.physical // SECTOR, RANGE_SECTORS, RANGES, 1)
        return _CONFIG.pack(self._capacity, 0, SEGMENTS, 0, 0, 0, facts.block, *topology, self._writeback, 1, *ranges)

    def write_config(self, offset: int, data: bytes) -> None:
        """See Device: only the cache's mode can be written."""
        if offset <= _WRITEBACK < offset + len(data):
            self._writeback = bool(data[_WRITEBACK - offset])
            self._choose_cache()

    def _choose_cache(self) -> None:
        """Virtio 1.2, 5.2.5 and 5.2.6.2: a driver that cannot flush, or wishes it, gets each write written through."""
        chosen = self._writeback or not self._accepted & F_CONFIG_WCE
        self._through = not (self._accepted & F_FLUSH and chosen)

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        """See Device."""
        (self._queue,) = queues
        self._accepted = features
        self._choose_cache()

    def reset(self) -> None:
        """See Device: waits for what is on its way, since it writes into the Guest's memory."""
        self._queue = None
        for flush in self._flushes:
            flush.forget()
        self._flushes.clear()
        for request, _ in self._workers.drain():
            request.forget()
        self._changes.clear()
        self._accepted = 0
        self._writeback = True
        self._choose_cache()

    def watched(self) -> Collection[int]:
        """See Device."""
        return (self._workers.fileno(),) if self._queue and self._workers.pending else ()

    def service(self) -> Progress:
        """See Device."""
        queue = self._queue
        if not queue:
            return Progress.IDLE
        try:
            for request, error in self._workers.finished():
                self._finished(queue, request, error)
            size = BUDGET_BYTES
            for _ in range(BUDGET_REQUESTS):
                chain = queue.pop()
                if not chain:
                    return Progress.IDLE
                request = Request(chain, self.name)
                size -= request.size
                self._begin(queue, request)
                if size < 0:
                    break
            return Progress.MORE
        except GuestError:
            self._queue = None
            raise
        finally:
            queue.notify()

    def busy(self) -> bool:
        """See Device."""
        return bool(self._workers.pending or self._changes or self._flushes)

    def save(self) -> dict[str, Any]:
        """See Device; what was written is on the disk then."""
        try:
            self._disk.flush()
        except OSError as error:
            raise LguestError(f"{self.name} cannot be flushed ({error.strerror})") from None
        return {"writeback": self._writeback}

    def overlaid(self) -> Iterator[tuple[int, int]]:
        """The ranges (offset, bytes) that its overlay holds; none without one."""
        return self._disk.held() if isinstance(self._disk, Overlay) else iter(())

    def overlay_data(self, offset: int, size: int) -> Iterator[memoryview]:
        """The data of such a range, in pieces.  Raises OSError."""
        for at in range(offset, offset + size, AT_ONCE):
            data = memoryview(bytearray(min(AT_ONCE, offset + size - at)))
            self._disk.read(at, [data])
            yield data

    def overlay(self, offset: int, size: int, data: memoryview | None = None) -> None:
        """Put this, or zeros, into its overlay.  Raises OSError."""
        if data is None:
            self._disk.zero(offset, size, True)
        else:
            self._disk.write(offset, [data], False)

    def restore(self, state: dict[str, Any]) -> None:
        """See Device."""
        self._writeback = bool(state["writeback"])
        self._choose_cache()

    def close(self) -> None:
        """See Device."""
        self.reset()
        self._workers.close()
        try:
            self._disk.close()
        except OSError as error:
            self._tell("what was written is not all on the disk", error)

    # Requests.

    def _begin(self, queue: Virtqueue, request: Request) -> None:
        """Do a request, or hand it to a thread."""
        kind = request.kind
        if kind in (R.IN, R.OUT):
            self._transfer(queue, request)
        elif kind == R.FLUSH:
            self._flush(queue, request)
        elif kind == R.GET_ID:
            self._identify(queue, request)
        elif kind in (R.DISCARD, R.WRITE_ZEROES):
            self._ranges(queue, request)
        else:
            queue.push(*request.finish(UNSUPPORTED))

    def _within(self, sector: int, sectors: int) -> bool:
        return 0 < sectors <= self._capacity and sector <= self._capacity - sectors

    def _transfer(self, queue: Virtqueue, request: Request) -> None:
        sectors, rest = divmod(request.size, SECTOR)
        reads = request.kind == R.IN
        if rest or not self._within(request.sector, sectors) or (not reads and self._facts.readonly):
            queue.push(*request.finish(IO_ERROR))
            return
        disk, offset = self._disk, request.sector * SECTOR
        try:
            if reads:
                if request.size <= AT_ONCE and disk.read_now(offset, request.inward):
                    queue.push(*request.finish(OK))
                else:
                    self._workers.submit(request, partial(disk.read, offset, request.inward))
            elif self._through or request.size > AT_ONCE or not disk.writes_quickly():
                self._change(request, partial(disk.write, offset, request.outward, self._through))
            else:
                disk.write(offset, request.outward, False)
                queue.push(*request.finish(OK))
        except OSError as error:
            self._failed(queue, request, error)

    def _change(self, request: Request, work: Callable[[], None]) -> None:
        self._changes.add(request)
        self._workers.submit(request, work)

    def _flush(self, queue: Virtqueue, request: Request) -> None:
        if self._changes:
            self._flushes[request] = set(self._changes)
        elif self._disk.needs_flush():
            self._workers.submit(request, self._disk.flush)
        else:
            queue.push(*request.finish(OK))

    def _identify(self, queue: Virtqueue, request: Request) -> None:
        text = self._id
        for buffer in request.inward:
            part = text[: len(buffer)]
            buffer[: len(part)] = part
            text = text[len(part) :]
        queue.push(*request.finish(OK))

    def _ranges(self, queue: Virtqueue, request: Request) -> None:
        zeroes = request.kind == R.WRITE_ZEROES
        if not self._accepted & (F_WRITE_ZEROES if zeroes else F_DISCARD):
            queue.push(*request.finish(UNSUPPORTED))
            return
        if not request.whole_segments(RANGES):
            queue.push(*request.finish(IO_ERROR))
            return
        work: list[Callable[[], None]] = []
        for sector, sectors, flags in request.segments():
            if flags & ~(UNMAP if zeroes else 0):
                queue.push(*request.finish(UNSUPPORTED))
                return
            if sectors > RANGE_SECTORS or not self._within(sector, sectors):
                queue.push(*request.finish(IO_ERROR))
                return
            place = sector * SECTOR, sectors * SECTOR
            if zeroes:
                work.append(partial(self._disk.zero, *place, bool(flags & UNMAP)))
            else:
                work.append(partial(self._disk.discard, *place))
        if zeroes and self._through:
            work.append(self._disk.flush)
        self._change(request, partial(_in_turn, work))

    # Their ends.

    def _finished(self, queue: Virtqueue, request: Request, error: BaseException | None) -> None:
        if isinstance(error, OSError):
            self._failed(queue, request, error)
        elif error:
            raise error
        else:
            queue.push(*request.finish(OK))
        if request not in self._changes:
            return
        self._changes.remove(request)
        for flush, waits_for in list(self._flushes.items()):
            waits_for.discard(request)
            if not waits_for:
                del self._flushes[flush]
                self._workers.submit(flush, self._disk.flush)

    def _failed(self, queue: Virtqueue, request: Request, error: OSError) -> None:
        what = {R.IN: "read", R.OUT: "write", R.FLUSH: "flush", R.DISCARD: "discard"}.get(request.kind, "zero")
        queue.push(*request.finish(IO_ERROR))
        self._tell(f"a {what} failed", error)

    def _tell(self, what: str, error: OSError) -> None:
        key = what, error.errno or errno.EIO
        if key not in self._told:
            self._told.add(key)
            self._say(f"{self.name}: {what} ({error.strerror or error}), which the Guest sees as an I/O error")


def _in_turn(work: Sequence[Callable[[], None]]) -> None:
    for each in work:
        each()
