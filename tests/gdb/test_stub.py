# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb's remote protocol without gdb: framing, commands that are wrong, and bytes that are nothing at all.

Read next: test_gdb_guest.py, where the real gdb talks.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lguest_py.gdb import registers
from lguest_py.gdb.hardware import Registers
from lguest_py.gdb.packets import INTERRUPT, LONGEST, Framing, escaped, framed, unescaped
from lguest_py.gdb.session import Session
from lguest_py.gdb.stub import Stub, Wish
from lguest_py.gdb.target import ACCESS, HARDWARE, WRITE, NotPossibleError, Stop

PAGE = 0x1000
COMMANDS = [b"?", b"g", b"G", b"p", b"P", b"m", b"M", b"X", b"c", b"s", b"vCont;", b"vCont?", b"Z0,", b"z0,", b"Z2,"]
COMMANDS += [b"q", b"qRcmd,", b"qXfer:features:read:target.xml:", b"Q", b"T", b"v", b"C05", b"S05;", b"qSupported"]


class Memory:
    """A target with one page of memory at PAGE."""

    def __init__(self) -> None:
        self.memory = bytearray(PAGE)
        self.values = dict.fromkeys((each.name for each in registers.ALL), 0)
        self.said: list[str] = []
        self.stop: Stop | None = None

    def registers(self) -> list[bytes]:
        return [self.values[each.name].to_bytes(each.bits // 8, "little") for each in registers.ALL]

    def set_register(self, name: str, value: int) -> None:
        if name not in registers.GENERAL:
            raise NotPossibleError("no")
        self.values[name] = value

    def read(self, address: int, count: int) -> bytes:
        return bytes(self.memory[address - PAGE : address - PAGE + count]) if PAGE <= address < 2 * PAGE else b""

    def write(self, address: int, data: bytes) -> None:
        if not (address >= PAGE and address + len(data) <= 2 * PAGE):
            raise NotPossibleError("no")
        self.memory[address - PAGE : address - PAGE + len(data)] = data

    def insert(self, kind: int, address: int, size: int) -> None:
        if address < PAGE:
            raise NotPossibleError("no")

    def remove(self, kind: int, address: int, size: int) -> None:
        pass

    def resume(self, step: bool) -> None:
        self.said.append("step" if step else "go")

    def interrupt(self) -> None:
        self.said.append("stop")

    def stopped(self) -> Stop | None:
        stop, self.stop = self.stop, None
        return stop

    def leave(self) -> None:
        self.said.append("leave")

    def monitor(self, command: str) -> str:
        return command


def answers(*packets: bytes) -> list[bytes]:
    """What a stub answers, one after the other."""
    framing = Framing()
    framing.acknowledges = False
    stub, found = Stub(Memory(), framing, Stop()), []
    for packet in packets:
        framing.waiting.clear()
        assert stub.hear(framed(packet)) is None
        found.append(b"" if not framing.waiting else bytes(framing.waiting[1:-3]))
    return found


def test_framing() -> None:
    framing = Framing()
    whole = framed(b"g") + framed(b"m1,1")
    assert list(framing.hear(b"+junk" + whole[:3])) == []
    assert list(framing.hear(whole[3:] + INTERRUPT)) == [b"g", b"m1,1", INTERRUPT]
    assert framing.waiting == b"++"
    framing.waiting.clear()
    assert list(framing.hear(b"$g#00")) == []
    assert framing.waiting == b"-"
    framing.waiting.clear()
    framing.send(b"OK")
    assert list(framing.hear(b"-")) == []
    assert framing.waiting == framed(b"OK") * 2
    framing.waiting.clear()
    assert list(framing.hear(b"$" + b"x" * (2 * LONGEST))) == []
    assert len(framing.waiting) <= 2
    assert list(framing.hear(framed(b"?"))) == [b"?"], "it goes on behind a packet that was too long"


@given(st.binary(max_size=64))
def test_binary_data(data: bytes) -> None:
    assert unescaped(escaped(data)) == data
    assert not set(escaped(data)) & set(b"#$*")


def test_answers() -> None:
    assert answers(b"?") == [b"T05thread:1;"]
    assert answers(b"P8=78563412", b"p8", b"P28=00000000", b"P99=00") == [b"OK", b"78563412", b"E5f", b"E16"]
    assert answers(b"M1ffe,2:abcd", b"m1ffe,4", b"m0,1", b"M1fff,2:0000", b"M1000,2:00", b"mzz,1") == [
        *(b"OK", b"abcd", b"E0e", b"E0e", b"E16", b"E16"),
    ]
    assert answers(b"X1000,3:a}\x03b", b"m1000,3") == [b"OK", b"612362"]
    assert answers(b"Z0,1000,1", b"z0,1000,1", b"Z0,0,1", b"Z3,1000,1", b"Z9,1000,1", b"Z0,x,1") == [
        *(b"OK", b"OK", b"E.no", b"", b"", b"E16"),
    ]
    asked = b"vMustReplyEmpty", b"qOffsets", b"!", b"qAttached", b"vCont?"
    assert answers(*asked) == [b"", b"", b"", b"1", b"vCont;c;C;s;S"]
    assert answers(b"qRcmd,68656c70") == [b"68656c70"]
    assert answers(b"c", b"g") == [b"", b"E5f"], "nothing is read from what runs"


def test_the_description_in_pieces() -> None:
    (first,) = answers(b"qXfer:features:read:target.xml:0,40")
    assert first[:1] == b"m"
    whole, at = b"", 0
    while True:
        (part,) = answers(b"qXfer:features:read:target.xml:%x,100" % at)
        whole += unescaped(part[1:])
        at = len(whole)
        if part[:1] == b"l":
            break
    assert whole == registers.description()
    assert answers(b"qXfer:features:read:other.xml:0,40") == [b"E00"]


def test_registers_of_an_fpu() -> None:
    """Those that gdb shows are where fxsave puts them, and an empty one is tagged so."""
    area = bytearray(512)
    area[0:2], area[4], area[24:28] = b"\x7f\x03", 0b10000001, b"\x80\x1f\0\0"
    area[32:42], area[160:176] = bytes(range(10)), bytes(range(16))
    values = dict(zip((each.name for each in registers.ALL), registers.raw(*_zeroes(), bytes(area)), strict=True))
    assert (values["fctrl"], values["mxcsr"]) == (b"\x7f\x03\0\0", b"\x80\x1f\0\0")
    assert (values["st0"], values["xmm0"]) == (bytes(range(10)), bytes(range(16)))
    assert int.from_bytes(values["ftag"], "little") == 0b0011111111111100


def _zeroes() -> tuple[dict[str, int], dict[str, int]]:
    return dict.fromkeys(registers.GENERAL, 0), dict.fromkeys(registers.CONTROLS, 0)


def test_debug_registers() -> None:
    used = Registers()
    used.insert(HARDWARE, 0x1000, 1)
    used.insert(WRITE, 0x2001, 3)  # a byte, and two
    assert used.addresses() == (0, 0x2002, 0x2001, 0x1000)
    assert used.control() == 0x80 | 0x20 | 0x08 | 0x01 << 24 | 0x05 << 20
    assert (used.why(8), used.why(2), used.why(1)) == ("hwbreak:;", "watch:2001;", "")
    with pytest.raises(NotPossibleError, match="four debug registers"):
        used.insert(ACCESS, 0x3000, 8)
    used.remove(WRITE, 0x2001, 3)
    used.insert(ACCESS, 0x3000, 8)
    assert used.addresses() == (0, 0x3004, 0x3000, 0x1000)
    with pytest.raises(NotPossibleError):
        used.insert(WRITE, 0x4000, 0)


ARGUMENTS = st.one_of(
    st.binary(max_size=20), st.from_regex(rb"[0-9a-f]{0,9},[0-9a-f]{0,9}(:.{0,8})?", fullmatch=True)
)
PACKETS = st.tuples(st.sampled_from(COMMANDS), ARGUMENTS).map(lambda pair: framed(pair[0] + pair[1]))
WRONG = st.lists(st.one_of(st.binary(max_size=40), PACKETS, st.just(INTERRUPT)), max_size=12)


@given(WRONG, st.booleans())
def test_whatever_is_said_it_goes_on(said: list[bytes], acknowledges: bool) -> None:
    framing, target = Framing(), Memory()
    framing.acknowledges = acknowledges
    stub = Stub(target, framing, Stop())
    for data in said:
        if stub.hear(data):
            return
        if stub.running:
            stub.stopped(Stop())
    framing.waiting.clear()
    framing.acknowledges = False
    end = b"#00" + framed(b"?")  # the first ends a packet that was begun
    assert stub.hear(end) is None
    assert framing.waiting.endswith(framed(b"T05thread:1;"))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_session(pair: tuple[socket.socket, socket.socket]) -> None:
    """gdb is heard only when the target stands still; when gdb is gone the target is made to stop once more."""
    target, killed = Memory(), list[bool]()
    session = Session(pair[0], target, lambda: killed.append(True))
    assert target.said == ["stop"]
    pair[1].send(framed(b"?"))
    assert not session.wants_more
    session.service(readable=True)
    target.stop = Stop()
    session.service(readable=False)
    assert session.wants_more
    session.service(readable=True)
    assert pair[1].recv(100) == b"+" + framed(b"T05thread:1;")
    pair[1].send(framed(b"c"))
    session.service(readable=True)
    assert session.lets_run
    pair[1].close()
    session.service(readable=True)
    assert not session.over
    target.stop = Stop()
    session.service(readable=False)
    assert session.over
    assert target.said == ["stop", "go", "stop", "leave"]
    assert not killed


def test_who_does_not_read(pair: tuple[socket.socket, socket.socket]) -> None:
    """A client that asks and asks and never reads is left."""
    target = Memory()
    session = Session(pair[0], target, lambda: None)
    target.stop = Stop()
    session.service(readable=False)
    asked = framed(b"qXfer:features:read:target.xml:0,2000") * 8
    for _ in range(2000):
        with contextlib.suppress(BlockingIOError):
            pair[1].send(asked, socket.MSG_DONTWAIT)
        session.service(readable=True)
        if session.over:
            break
    assert session.over
    assert target.said[-1] == "leave"


def test_a_kill() -> None:
    framing = Framing()
    stub = Stub(Memory(), framing, Stop())
    assert stub.hear(framed(b"k")) is Wish.KILL
    assert stub.hear(framed(b"vKill;1")) is Wish.KILL
    assert stub.hear(framed(b"D")) is Wish.DETACH
