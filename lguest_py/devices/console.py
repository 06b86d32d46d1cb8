# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio console: queue 0 takes input to the Guest, queue 1 its output.

Neither direction may lose a byte or grow without bound: output waits in the Guest's own buffers while the
sink is full, and the Launcher reads input only while ``wants_input``.

The size of the terminal is offered only where there is one, and a change of it is a change of configuration.
Linux asks for it only after such a change, and drops one that comes while it sets up its console.  So it is told of the
first size when it has read some input, which it does once a program of its own has opened the console.
The emergency write is a register of the PCI bus that the Host kernel answers; its text comes by the mailbox.
Source: virtio 1.2, section 5.3.  Read next: lguest_py/console/streams.py, the sink and the source.
Next in the book: block_request.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from lguest_py.devices.device import Defaults, Progress
from lguest_py.devices.errors import GuestError
from lguest_py.devices.input_pace import InputPace
from lguest_py.devices.virtqueue import Chain, Virtqueue

F_SIZE, F_EMERG_WRITE = 1 << 0, 1 << 2
EMERGENCY = 8  # the offset of emerg_wr in the configuration space
Size = tuple[int, int]  # columns, rows
BUDGET, CHAINS = 0x10000, 1024  # bytes and buffers per call: an endless output must not starve the rest


class Sink(Protocol):
    """Where the Guest's output goes."""

    @property
    def room(self) -> int:
        """How many bytes it takes now."""

    def write(self, data: bytes | bytearray) -> None:
        """Take all of ``data``, at most ``room`` bytes."""


class Console(Defaults):
    """Virtio device 3.  ``inbox`` is input on its way to the Guest; it outlives a restart of the Guest, and so do
    ``sink`` and ``takes_input``, which the Vm changes."""

    name = "console"
    type = 3
    queue_sizes = (256, 256)

    def __init__(self, inbox: bytearray, sink: Sink, size: Callable[[], Size | None] = lambda: None) -> None:
        self._inbox = inbox
        self.sink = sink
        self._size = size
        self._told = size()  # what the configuration says
        self.features = F_EMERG_WRITE | (F_SIZE if self._told else 0)
        self._config_changed: Callable[[], None] = lambda: None
        self.pace: InputPace | None = None  # the Vm sets it; None: as fast as the Guest has buffers
        self.takes_input = True  # else the Guest's input goes elsewhere
        self._receive: Virtqueue | None = None
        self._transmit: Virtqueue | None = None
        self._sending: Chain | None = None
        self._piece = self._sent = 0  # the position in _sending
        self._skipped = 0  # bytes of the next one that were taken before the Guest was saved
        self._given = 0  # buffers of input, until the driver was told of the first size
        self._knows_size = False

    def config(self) -> bytes:
        """See Device: columns, rows, ports, emerg_wr."""
        return struct.pack("<HHII", *(self._told or (0, 0)), 0, 0)

    def start(self, queues: Sequence[Virtqueue], features: int, config_changed: Callable[[], None]) -> None:
        """See Device."""
        self._receive, self._transmit = queues
        self._config_changed = config_changed
        self._given, self._knows_size = 0, self._told is None

    def reset(self) -> None:
        """See Device."""
        self._receive = self._transmit = self._sending = None
        self._skipped = 0
        self._config_changed = lambda: None

    def save(self) -> dict[str, Any]:
        """See Device: of the buffer that is being taken, how much was."""
        taken = sum(map(len, self._sending.readable[: self._piece])) + self._sent if self._sending else 0
        return {"taken": taken, "knows_size": self._knows_size}

    def restore(self, state: dict[str, Any]) -> None:
        """See Device."""
        self._skipped, self._knows_size = int(state["taken"]), bool(state["knows_size"])

    @property
    def resized(self) -> bool:
        """Whether the terminal's size is no longer what the Guest was told; then ``service`` tells it."""
        return self._told is not None and self._size() not in (self._told, None)

    @property
    def wants_input(self) -> bool:
        """Whether the Guest would take input and none is pending; or a bad ring, of which ``service`` tells."""
        try:
            if not self.takes_input or self._inbox or self._receive is None or self._receive.available() <= 0:
                return False
        except GuestError:
            return True
        return self.pace is None or self.pace.room > 0

    @property
    def held(self) -> bool:
        """Whether the Guest has buffers for input, and ``pace`` held it back when ``service`` last asked.

        This renews no room: nobody would give what is in the inbox then, before something else happens.
        """
        if not self.pace or not self.takes_input or self._receive is None:
            return False
        try:
            return self._receive.available() > 0 and self.pace.spent
        except GuestError:
            return False

    def service(self) -> Progress:
        """Move input and output as far as both sides have room.  Raises GuestError for a bad ring."""
        if self.resized:
            self._told = self._size()
            self._config_changed()
        elif not self._knows_size and self._reads_input():
            self._knows_size = True
            self._config_changed()
        if self.takes_input:
            self._give_input()
        return self._take_output()

    def _reads_input(self) -> bool:
        """Whether the driver gave more buffers than the queue holds, so it had some back and has read them."""
        queue = self._receive
        return queue is not None and self._given + queue.available() > queue.size

    def _give_input(self) -> None:
        queue, pace = self._receive, self.pace
        if queue:
            queue.available()  # raises for a bad ring, even when there is nothing to give
        while queue and self._inbox and (not pace or pace.room > 0) and (chain := queue.pop()):
            if chain.readable:
                raise GuestError("console: a buffer to read from in the receive queue")
            written = 0
            for buffer in chain.writable:
                room = max(pace.room - written, 0) if pace else len(buffer)
                piece = self._inbox[: min(len(buffer), room)]
                buffer[: len(piece)] = piece
                del self._inbox[: len(piece)]
                written += len(piece)
            queue.push(chain, written)
            self._given += 1
            if pace:
                pace.gave(written)
        if queue:
            queue.notify()

    def _take_output(self) -> Progress:
        queue = self._transmit
        if not queue:
            return Progress.IDLE
        out = bytearray()
        try:
            progress = self._collect(queue, out, min(self.sink.room, BUDGET))
        finally:  # also the output before a broken rule
            self.sink.write(out)
            if out and self.pace:
                self.pace.wrote()
        queue.notify()
        return progress

    def _skip(self, chain: Chain) -> None:
        """Leave out what was taken of this buffer before the Guest was saved."""
        buffers = chain.readable
        while self._skipped and self._piece < len(buffers):
            part = min(self._skipped, len(buffers[self._piece]) - self._sent)
            self._skipped, self._sent = self._skipped - part, self._sent + part
            if self._sent == len(buffers[self._piece]):
                self._piece, self._sent = self._piece + 1, 0
        self._skipped = 0

    def _collect(self, queue: Virtqueue, out: bytearray, room: int) -> Progress:
        """Append output to ``out`` until it has ``room`` bytes."""
        for _ in range(CHAINS):
            if not self._sending:
                self._sending = queue.pop()
                self._piece = self._sent = 0
                if not self._sending:
                    return Progress.IDLE
                self._skip(self._sending)
                if self._sending.writable:
                    raise GuestError("console: a buffer to write to in the transmit queue")
            buffers = self._sending.readable
            while self._piece < len(buffers):
                buffer = buffers[self._piece]
                part = buffer[self._sent : self._sent + room - len(out)]
                out += part
                self._sent += len(part)
                if self._sent < len(buffer):
                    return Progress.MORE if room == BUDGET else Progress.BLOCKED
                self._piece, self._sent = self._piece + 1, 0
            queue.push(self._sending, 0)
            self._sending = None
        return Progress.MORE
