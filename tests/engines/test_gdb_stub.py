# SPDX-License-Identifier: GPL-2.0-or-later
"""The client of QEMU's gdb stub, against a stub that is played here: what it understands, and what ends it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from lguest_py.engines.gdb_stub import GdbStub, parse_registers
from lguest_py.engines.stepping import REGISTERS, MachineGoneError

TEXT = """\
EAX=00000001 EBX=00000002 ECX=00000003 EDX=00000004
ESI=00000005 EDI=00000006 EBP=00000007 ESP=00000008
EIP=ffc00000 EFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0058 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
CS =0050 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]
SS =0059 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
DS =005a 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
FS =005b 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
GS =005c 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
LDT=0010 00000000 00000000 00008200 DPL=0 LDT
TR =0080 ffc02030 00000067 00008900 DPL=0 TSS32-avl
GDT=     ffc02130 00000107
IDT=     ffc02340 000007ff
CR0=e0010033 CR2=00000009 CR3=00120000 CR4=00000610
EFER=0000000000000000
"""


def packet(text: str) -> bytes:
    return b"$" + text.encode() + b"#%02x" % (sum(text.encode()) & 0xFF)


def stub(answers: Callable[[str], list[str]]) -> tuple[GdbStub, socket.socket]:
    """A client whose packets ``answers`` answers; it ends where there is none."""
    ours, theirs = socket.socketpair()

    def play() -> None:
        data = b""
        with theirs:
            while chunk := theirs.recv(4096):
                data += chunk
                while b"#" in data and len(data) >= data.index(b"#") + 3:
                    end = data.index(b"#")
                    found = answers(data[data.index(b"$") + 1 : end].decode())
                    data = data[end + 3 :]
                    if not found:
                        return
                    theirs.sendall(b"+" + b"".join(map(packet, found)))

    threading.Thread(target=play, daemon=True).start()
    return GdbStub(ours), ours


def answer(request: str) -> list[str]:
    if request.startswith("qRcmd,"):
        assert bytes.fromhex(request[6:]) == b"info registers"
        middle = len(TEXT) // 2
        return [f"O{part.encode().hex()}" for part in (TEXT[:middle], TEXT[middle:])] + ["OK"]
    return {"?": ["T05thread:01;"], "s": ["T05thread:01;"], "c": ["T05thread:01;"]}.get(request, ["OK"])


def test_registers_come_from_the_monitor() -> None:
    made, link = stub(answer)
    with link:
        state = made.registers()
    assert state == parse_registers(TEXT)
    assert state.keys() == set(REGISTERS)
    assert [state[name] for name in ("eax", "esp", "eip", "eflags")] == [1, 8, 0xFFC00000, 0x46]
    assert [state[name] for name in ("cs", "ss", "ds", "es", "fs", "gs")] == [0x50, 0x59, 0x5A, 0x58, 0x5B, 0x5C]
    assert [state[name] for name in ("gdt", "gdt_limit", "idt", "tr", "tss", "ldt")] == [
        0xFFC02130, 0x107, 0xFFC02340, 0x80, 0xFFC02030, 0x10,
    ]  # fmt: skip


def test_the_end_of_qemu_is_the_end_of_the_machine() -> None:
    made, link = stub(lambda request: answer(request) if request == "?" else [])
    with link, pytest.raises(MachineGoneError):
        made.step()


def test_an_exit_that_is_told_is_the_end_too() -> None:
    made, link = stub(lambda request: answer(request) if request == "?" else ["W21"])
    with link, pytest.raises(MachineGoneError):
        made.go(60)

