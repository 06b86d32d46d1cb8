# SPDX-License-Identifier: GPL-2.0-or-later
"""The lengths of instructions, and where control goes after them: host_kernel/instruction/flow.c against objdump.

flow.c is compiled for this machine, so that it can be called from here.
"""

from __future__ import annotations

import ctypes
import lzma
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lguest_py.kernels.stock import Kernel

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "lguest_py" / "_images"
NEXT, BRANCH, CALL, JUMP, STOP = range(5)  # enum flow_kind
LONGEST = 15
LINE = re.compile(r" *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *(?:\t(.*))?")
PREFIX = re.compile(r"(?:(?:rep|repz|repnz|lock|bnd|notrack|data16|addr16|[cdefgs]s|xacquire|xrelease)(?:,p[tn])? +)*")
DIRECT = re.compile(r"(\w+?)(?:,p[nt])? +(?:0x)?([0-9a-f]+)(?: <.*>)?")
NOWHERE = {"ret", "iret", "lret", "ljmp", "int3", "ud2"}


class Flow(ctypes.Structure):
    """struct flow of flow.h."""

    _fields_ = (
        ("kind", ctypes.c_int), ("length", ctypes.c_uint32), ("target", ctypes.c_uint32), ("is_bare", ctypes.c_bool),
    )  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("gcc")
    if not compiler:
        pytest.skip("no compiler for this machine")
    path = tmp_path_factory.mktemp("flow") / "flow.so"
    source = ROOT / "host_kernel" / "instruction" / "flow.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", f"-I{ROOT}", source, "-o", path], check=True)
    return ctypes.CDLL(str(path))


def flow_of(library: ctypes.CDLL, code: bytes) -> Flow | None:
    flow = Flow()
    return flow if library.flow_of(code, len(code), ctypes.byref(flow)) else None


def disassembled(path: Path) -> Iterator[tuple[int, bytes, str]]:
    """(address, bytes, text) of each instruction in the code of an ELF file."""
    with subprocess.Popen(["objdump", "-d", path], stdout=subprocess.PIPE, text=True) as objdump:
        assert objdump.stdout
        last: tuple[int, bytes, str] | None = None
        for line in objdump.stdout:
            found = LINE.fullmatch(line.rstrip("\n") if "\t" in line.strip()[12:] else line.rstrip("\n") + " ")
            if found and found[3] is None and last:  # a long instruction's second line
                last = last[0], last[1] + bytes.fromhex(found[2]), last[2]
                continue
            if last:
                yield last
            last = (int(found[1], 16), bytes.fromhex(found[2]), (found[3] or "").strip()) if found else None
        if last:
            yield last


def expected(address: int, text: str) -> tuple[int, int]:
    """The kind and the target, relative to the instruction, by what objdump says."""
    words = text[PREFIX.match(text).end() :].partition("#")[0].strip()  # type: ignore[union-attr]
    name = words.split()[0].partition(",")[0] if words else ""
    if name in NOWHERE or (name == "jmp" and "*" in words):
        return STOP, 0
    direct = DIRECT.fullmatch(words)
    if not direct or not re.fullmatch("j.*|loop.*|call", name):
        return NEXT, 0
    kind = CALL if name == "call" else JUMP if name == "jmp" else BRANCH
    return kind, (int(direct[2], 16) - address) & 0xFFFFFFFF


def differences(library: ctypes.CDLL, path: Path) -> tuple[int, list[str]]:
    """How many instructions there are, and which flow.c sees otherwise."""
    count, wrong = 0, []
    for address, code, text in disassembled(path):
        if "(bad)" in text or (code[0] == 0x9B and len(code) > 1):  # the wait that objdump adds to an FPU instruction
            continue
        count += 1
        flow = flow_of(library, code + b"\x90" * (LONGEST - len(code)))
        kind, target = expected(address, text)
        if not flow or (flow.length, flow.kind, flow.target) != (len(code), kind, target):
            wrong.append(f"{address:#x} {code.hex()} {text}")
        elif flow.is_bare != (len(code) == 1):
            wrong.append(f"{address:#x} {text}: bare")
    return count, wrong


@pytest.mark.parametrize("name", ["host_kernel.elf", "guest.elf"])
def test_it_agrees_with_objdump_over_our_images(library: ctypes.CDLL, name: str) -> None:
    count, wrong = differences(library, IMAGES / name)
    assert count > 5000
    assert not wrong


@pytest.mark.nightly
def test_it_agrees_with_objdump_over_a_whole_kernel_and_its_modules(
    library: ctypes.CDLL, stock: Kernel, tmp_path: Path
) -> None:
    data = stock.kernel.read_bytes()
    start, size = struct.unpack_from("<II", data, 0x248)
    start += (data[0x1F1] + 1) * 512
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(lzma.decompress(data[start : start + size - 4], lzma.FORMAT_XZ))
    count, wrong = differences(library, vmlinux)
    assert count > 1_000_000
    assert not wrong
    vectors = [*stock.modules.glob("*/kernel/arch/x86/crypto/*.ko"), *stock.modules.glob("*/kernel/lib/raid6/*.ko")]
    assert vectors
    for module in vectors:  # AVX and AVX-512
        assert not differences(library, module)[1]


# What the images above lack: the longest forms, 16-bit addresses, VEX and EVEX, what objdump has no name for.
WHOLE = """9d 669d f36e a011223344 67a01122 c8112233 9a112233445566 ea112233445566 669a11223344 f60511223344aa f7d0
f7c011223344 66f7c01122 6769c011223344 67c7061122aabbccdd 67c74011aabbccdd 67c7801122aabbccdd 8b0425aabbccdd
8b8424aabbccdd 8b442411 8d00 c500 c5f877 c5f9efc0 c4e37d39c101 c4e27d18c0 c5fd70c011 62f17c4858c0 62f37d4825c0ff
62f17c484940aa 6200 0f0b 0f3800c1 0f3a0fc108 0f0fc1bb 0f20c0 0f2000 0fba051122334411 0fa4051122334411 0fc7f0 0faee8
e8aabbccdd 66e8aabb 0f8411223344 c20800 2e2e2e2e2e2e2e2e2e2e2e2e2e2e90"""


@pytest.mark.parametrize("code", WHOLE.split())
def test_lengths(library: ctypes.CDLL, code: str) -> None:
    instruction = bytes.fromhex(code)
    flow = flow_of(library, (instruction + b"\x9d" * LONGEST)[:LONGEST])
    assert flow
    assert flow.length == len(instruction)
    assert flow_of(library, instruction[:-1]) is None, "not all of it"


@pytest.mark.parametrize("code", ["0f04", "0f0a", "0f24c0", "2e" * 15, "0f39", "c4e07d18c0", ""])
def test_what_is_no_instruction(library: ctypes.CDLL, code: str) -> None:
    assert flow_of(library, (bytes.fromhex(code) + bytes(LONGEST))[:LONGEST] if code else b"") is None


def test_a_call_that_cuts_eip_leads_nowhere(library: ctypes.CDLL) -> None:
    flow = flow_of(library, bytes.fromhex("66e81000"))
    assert flow
    assert flow.kind == STOP
