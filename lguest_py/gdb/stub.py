# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands of gdb's remote protocol, for one target.

Only what gdb asks for of one 32-bit processor; the rest gets the empty answer, by which gdb knows that it is not there.
A command with wrong arguments gets an error.
Read next: guest.py; session.py, the connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from lguest_py.gdb import registers
from lguest_py.gdb.packets import INTERRUPT, LONGEST, Framing, escaped, unescaped
from lguest_py.gdb.target import NotPossibleError, Stop, Target

MOST = (LONGEST - 16) // 2  # bytes of memory in one answer
SUPPORTED = (
    f"PacketSize={LONGEST:x};QStartNoAckMode+;qXfer:features:read+;swbreak+;hwbreak+;vContSupported+".encode()
)
_WRONG, _NO_MEMORY, _CANNOT = b"E16", b"E0e", b"E5f"  # as errno has them: EINVAL, EFAULT, EOPNOTSUPP
_RANGE = re.compile(rb"([0-9a-f]{1,8}),([0-9a-f]{1,8})", re.IGNORECASE)
_XFER = re.compile(rb"Xfer:features:read:([^:]*):([0-9a-f]{1,8}),([0-9a-f]{1,8})", re.IGNORECASE)


class Wish(Enum):
    """What gdb wants of the connection."""

    DETACH = "detach"
    KILL = "kill"


class _WrongError(Exception):
    """Wrong arguments."""


def _numbers(text: bytes) -> tuple[int, int]:
    """ADDRESS,COUNT."""
    match = _RANGE.fullmatch(text)
    if not match:
        raise _WrongError
    return int(match[1], 16), int(match[2], 16)


def _hex(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise _WrongError from None


class Stub:
    """It.  ``framing`` has what is to be sent.  The target stands still at first; ``why``: so says ``?``."""

    def __init__(self, target: Target, framing: Framing, why: Stop) -> None:
        self.target, self._framing = target, framing
        self._last, self.running = why, False
        self._commands: dict[bytes, Callable[[bytes], bytes | None]] = {
            b"?": lambda rest: self._told(self._last),
            b"g": self._read_registers,
            b"G": self._write_registers,
            b"p": self._read_register,
            b"P": self._write_register,
            b"m": self._read,
            b"M": self._write_hex,
            b"X": self._write_binary,
            b"c": lambda rest: self._resume(rest, step=False),
            b"C": lambda rest: self._resume(rest.partition(b";")[2], step=False),
            b"s": lambda rest: self._resume(rest, step=True),
            b"S": lambda rest: self._resume(rest.partition(b";")[2], step=True),
            b"v": self._verbose,
            b"Z": lambda rest: self._breakpoint(rest, self.target.insert),
            b"z": lambda rest: self._breakpoint(rest, self.target.remove),
            b"H": lambda rest: b"OK",
            b"T": lambda rest: b"OK",
            b"q": self._query,
            b"Q": self._set,
        }

    def hear(self, data: bytes) -> Wish | None:
        """Obey what gdb sent.  Returns what it wants of the connection, if that is to end."""
        for packet in self._framing.hear(data):
            if packet == INTERRUPT:
                if self.running:
                    self.target.interrupt()
                continue
            if wish := self._obey(packet):
                return wish
        return None

    def _obey(self, packet: bytes) -> Wish | None:
        if packet[:1] == b"D":
            self._framing.send(b"OK")
            return Wish.DETACH
        if packet == b"k" or packet[:5] == b"vKill":
            if packet != b"k":
                self._framing.send(b"OK")
            return Wish.KILL
        work = self._commands.get(packet[:1])
        if self.running and packet[:1] in b"gGpPmMXcCsSzZ":  # gdb waits for a stop before it sends these
            answer: bytes | None = _CANNOT
        elif work is None:
            answer = b""
        else:
            try:
                answer = work(packet[1:])
            except _WrongError:
                answer = _WRONG
            except NotPossibleError as error:
                self._say(f"lguest-py: {error}\n")
                answer = _CANNOT
        if answer is not None:
            self._framing.send(answer)
            if packet == b"QStartNoAckMode":
                self._framing.acknowledges = False
        return None

    def stopped(self, stop: Stop) -> None:
        """The target stopped, for which gdb waits."""
        self._last, self.running = stop, False
        self._framing.send(self._told(stop))

    def ended(self, status: int) -> None:
        """The target is no more, and this is its exit status."""
        if self.running:
            self._framing.send(b"W%02x" % (status & 0xFF))

    def _say(self, text: str) -> None:
        """gdb prints it; it listens to that while it waits for an answer of the target's going on or of a monitor."""
        if self.running:
            self._framing.send(b"O" + text.encode().hex().encode())

    @staticmethod
    def _told(stop: Stop) -> bytes:
        return f"T{stop.signal:02x}{stop.more}thread:1;".encode()

    def _read_registers(self, rest: bytes) -> bytes:
        return b"".join(self.target.registers()).hex().encode()

    def _write_registers(self, rest: bytes) -> bytes:
        data, at, now = _hex(rest), 0, self.target.registers()
        for each, old in zip(registers.ALL, now, strict=True):
            size = each.bits // 8
            new = data[at : at + size]
            at += size
            if len(new) == size and new != old:
                self.target.set_register(each.name, int.from_bytes(new, "little"))
        return b"OK"

    def _number(self, text: bytes) -> int:
        try:
            number = int(text, 16)
        except ValueError:
            raise _WrongError from None
        if not 0 <= number < len(registers.ALL):
            raise _WrongError
        return number

    def _read_register(self, rest: bytes) -> bytes:
        number = self._number(rest)
        return self.target.registers()[number].hex().encode()

    def _write_register(self, rest: bytes) -> bytes:
        number, _, value = rest.partition(b"=")
        register = registers.ALL[self._number(number)]
        data = _hex(value)
        if len(data) != register.bits // 8:
            raise _WrongError
        self.target.set_register(register.name, int.from_bytes(data, "little"))
        return b"OK"

    def _read(self, rest: bytes) -> bytes:
        address, count = _numbers(rest)
        data = self.target.read(address, min(count, MOST))
        return data.hex().encode() if data or not count else _NO_MEMORY

    def _write_hex(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._write(where, _hex(data))

    def _write_binary(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._write(where, unescaped(data))

    def _write(self, where: bytes, data: bytes) -> bytes:
        address, count = _numbers(where)
        if count != len(data):
            raise _WrongError
        try:
            self.target.write(address, data)
        except NotPossibleError:
            return _NO_MEMORY
        return b"OK"

    def _resume(self, rest: bytes, step: bool) -> None:
        if rest:
            try:
                address = int(rest, 16)
            except ValueError:
                raise _WrongError from None
            self.target.set_register("eip", address & 0xFFFFFFFF)
        self.running = True
        self.target.resume(step)

    def _breakpoint(self, rest: bytes, work: Callable[[int, int, int], None]) -> bytes:
        kind, _, where = rest.partition(b",")
        address, size = _numbers(where.partition(b";")[0])
        if kind not in (b"0", b"1", b"2", b"4"):  # gdb watches reads as accesses then, as x86 does
            return b""
        try:
            work(int(kind), address, size)
        except NotPossibleError as error:
            return b"E." + str(error).encode()
        return b"OK"

    def _verbose(self, rest: bytes) -> bytes | None:
        if rest == b"Cont?":
            return b"vCont;c;C;s;S"
        if rest[:5] == b"Cont;":
            action = rest[5:6]
            if action not in (b"c", b"C", b"s", b"S"):
                raise _WrongError
            self._resume(b"", step=action in b"sS")
            return None
        return b""

    def _query(self, rest: bytes) -> bytes:
        if rest.startswith(b"Supported"):
            return SUPPORTED
        if match := _XFER.fullmatch(rest):
            return self._description(match[1], int(match[2], 16), int(match[3], 16))
        if rest.startswith(b"Rcmd,"):
            try:
                text = self.target.monitor(_hex(rest[5:]).decode("utf-8", "replace"))
            except NotPossibleError as error:
                text = f"{error}\n"
            return text.encode().hex().encode() or b"OK"
        known = {b"C": b"QC1", b"fThreadInfo": b"m1", b"sThreadInfo": b"l", b"Attached": b"1", b"TStatus": b""}
        if rest.startswith(b"Attached:"):
            return b"1"
        if rest.startswith(b"ThreadExtraInfo,"):
            return b"the processor".hex().encode()
        return known.get(rest, b"")

    @staticmethod
    def _description(annex: bytes, offset: int, count: int) -> bytes:
        if annex != b"target.xml":
            return b"E00"
        whole = registers.description()
        part = whole[offset : offset + min(count, MOST)]
        return (b"m" if offset + len(part) < len(whole) else b"l") + escaped(part)

    def _set(self, rest: bytes) -> bytes:
        return b"OK" if rest == b"StartNoAckMode" else b""
