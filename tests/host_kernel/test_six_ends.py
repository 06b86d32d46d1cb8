# SPDX-License-Identifier: GPL-2.0-or-later
"""The ends of a run held apart, on both engines and with both personalities: each has its own text, its own kind in
--json and its exit status.

Read before: tests/lab/native_code.py, the kernels that end so.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from linux_lab import Linux
from native_code import (
    BAD_SEGMENT,
    BASE,
    DATA,
    HALT,
    INT3,
    POWER_OFF,
    PUT_BYTE,
    SPIN,
    SWITCH_FOREVER,
    SWITCH_OFTEN,
    UD2,
    gates,
    kernel,
    lidt,
    out,
    say,
    table,
)

import lguest_py
from lguest_py.cli import main
from lguest_py.engines.tcg import TcgEngine
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher import vm, vm_memory
from lguest_py.launcher.launcher import EARLY_RESTARTS
from lguest_py.launcher.report import death
from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

LIMIT = "300"
PANIC = b"Kernel panic - not syncing: on purpose\r\n---[ end Kernel panic - not syncing: on purpose ]---\r\n"
EMPTY = lidt(DATA)  # where nothing but zeros is: the IDT has room for no gate
HANDLER, OTHER = BASE + 0x1000, BASE + 0x2000
Ended = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def ended(engine_name: str, capfd: pytest.CaptureFixture[str]) -> Ended:
    """``lguest-py boot --json``: the object, and all that went to stderr."""

    def run(*arguments: str) -> tuple[dict[str, Any], str]:
        status = main(["boot", "--engine", engine_name, "--timeout", LIMIT, "--json", *arguments])
        shown = capfd.readouterr()
        data: dict[str, Any] = json.loads(shown.out)
        assert data["status"] == status
        return data, shown.err

    return run


def kinds(data: dict[str, Any]) -> tuple[str, int]:
    return data["end"], data["status"]


NATIVE = {
    "power-off": (say(b"bye\r\n") + POWER_OFF, "powered off", 0, ""),
    "restart": (out(0x64, 0xFE), "restarted", 0, ""),
    "panic": (say(PANIC), "panicked", 3, "the Guest panicked: on purpose"),
    "halt": (HALT, "halted", 3, "the Guest halted for good: the Guest halted with interrupts off"),
    "triple fault": (UD2, "triple fault", 3, "the Guest ended in a triple fault: vector 6 "),
}


@pytest.mark.parametrize("name", NATIVE)
def test_the_ends_of_a_native_guest(ended: Ended, tmp_path: Path, name: str) -> None:
    code, end, status, text = NATIVE[name]
    data, said = ended("--on-reboot", "exit", kernel(tmp_path / "kernel", code))
    assert kinds(data) == (end, status)
    headlines = re.findall(r"^lguest-py: (the .*)$", said, re.M)
    assert len(headlines) == bool(text)
    assert not text or headlines[0].startswith(text)
    assert (data["death"] is None) is (status == 0)


def test_a_native_guest_is_killed_for_a_rule_of_ours(ended: Ended, tmp_path: Path) -> None:
    idt = bytearray(gates({}))
    idt[8 + 6 * 8 + 5] = 0x85  # a task gate for #UD
    data, said = ended(kernel(tmp_path / "kernel", lidt(DATA) + UD2, bytes(idt)))
    assert kinds(data) == ("killed", 3)
    assert "lguest-py: the Guest was killed: vector 6 " in said
    assert "a task gate" in data["reason"]


LGUEST = {
    "poweroff": ("powered off", 0, ""),
    "reboot": ("restarted", 0, ""),
    "panic oh no": ("panicked", 3, "the Guest panicked: oh no"),
    "halt": ("halted", 3, "the Guest halted for good: "),
    "fault bad-hypercall": ("killed", 3, "the Guest was killed: unknown hypercall 99"),
    "fault no-handler": ("killed", 3, "the Guest was killed: trap 6 "),
}


@pytest.mark.parametrize("command", LGUEST)
def test_the_ends_of_an_lguest_guest(ended: Ended, command: str) -> None:
    end, status, text = LGUEST[command]
    data, said = ended("--on-reboot", "exit", str(vm_memory.built("guest.elf")), f"run={command}")
    assert kinds(data) == (end, status)
    headlines = re.findall(r"^lguest-py: (the .*)$", said, re.M)
    assert len(headlines) == bool(text)
    assert not text or headlines[0].startswith(text)


@pytest.mark.parametrize("code", [SWITCH_FOREVER, b""], ids=["switches", "spins"])
def test_the_time_limit_is_none_of_them(ended: Ended, tmp_path: Path, code: bytes) -> None:
    data, said = ended("--timeout", "3", "-v", kernel(tmp_path / "kernel", say(b"an open line") + code))
    assert kinds(data) == ("time limit", 4)
    assert "\nan open line\nlguest-py: the time limit ended the Guest: 3 seconds have passed\n" in said
    assert said.index("lguest-py: the time limit") < said.index("the last ")
    in_order(said)


# --- the machine itself ---------------------------------------------------------------------------------------------

LEAVE_MEMORY = b"\xb8\x00\x00\x00\xe0\xff\xe0"  # jmp 0xE0000000, where nothing is: KVM cannot run that
HOST_TRIPLE = b"\x0f\x01\x1d\x10\x00\x10\x00\xcc" + bytes(16)  # lidt of zeros; int3


@pytest.fixture
def host_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Another Host kernel than ours."""

    def replace(code: bytes) -> None:
        shutil.copy(vm_memory.built("guest.elf"), tmp_path / "guest.elf")
        (tmp_path / "host_kernel.bin").write_bytes(code)
        monkeypatch.setattr(vm_memory, "IMAGES", tmp_path)

    return replace


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGTERM])
def test_an_internal_error_of_the_engine(
    ended: Ended,
    engine_name: str,
    host_code: Callable[[bytes], None],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    start = TcgEngine.start

    def start_and_end(engine: TcgEngine, entry: int, ebx: int) -> None:
        start(engine, entry, ebx)
        assert isinstance(engine._process, subprocess.Popen)
        while b"qemu" not in Path(f"/proc/{engine._process.pid}/cmdline").read_bytes():
            pass
        time.sleep(1)  # it handles signals by now; if not, that is another end of its own
        engine._process.send_signal(number)

    monkeypatch.setattr(TcgEngine, "start", start_and_end)
    host_code(LEAVE_MEMORY if engine_name == "kvm" else SPIN)
    data, said = ended()
    assert kinds(data) == ("machine failed", 1)
    assert "lguest-py: the machine failed: " in said
    assert "triple" not in data["reason"]
    assert ("QEMU" if engine_name == "tcg" else "KVM cannot continue") in data["reason"]
    assert "Traceback" not in said


def test_a_triple_fault_of_the_host_kernel_is_not_the_guests(ended: Ended, host_code: Callable[[bytes], None]) -> None:
    host_code(HOST_TRIPLE)
    data, said = ended("--on-reboot", "restart")
    assert kinds(data) == ("machine failed", 1)
    assert "lguest-py: the machine failed: triple fault of the Host kernel: " in said


def test_the_host_kernel_fails(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(engine: Any, *arguments: Any) -> None:
        vm_memory.fill(engine, *arguments)
        View(engine.memory, L.MACHINE_ADDRESS, L.MACHINE)["personality"] = 77

    monkeypatch.setattr(vm, "fill", spoil)
    data, said = ended()
    assert kinds(data) == ("internal error", 1)
    assert "lguest-py: the Host kernel failed: unknown personality 77" in said


# --- triple faults and restarts -------------------------------------------------------------------------------------

ACCIDENTS = {
    "no IDT was ever loaded": (INT3, b"", [3, 13, 8]),
    "an exception behind an empty IDT": (EMPTY + UD2, table(0), [6, 13, 8]),
    "an IDT that ends too early": (lidt(DATA) + INT3, gates({}, count=1), [3, 13, 8]),
    "an IDT of absent gates": (lidt(DATA) + INT3, gates({}), [3, 11, 8]),
    "a general protection": (BAD_SEGMENT, b"", [13, 8]),
    "a stack that is not there": (
        lidt(DATA) + b"\xbc\x00\x00\x00\xf8" + UD2,
        gates(dict.fromkeys((6, 8, 14), HANDLER)),
        [6, 14, 8],
    ),
    "four steps": (
        lidt(DATA) + b"\xbc\x00\x00\x00\xf8" + UD2,
        gates(dict.fromkeys((8, 11, 14), HANDLER)),
        [6, 11, 14, 8],
    ),
}


@pytest.mark.parametrize("name", ACCIDENTS)
@pytest.mark.parametrize("on_reboot", ["restart", "exit"])
def test_a_triple_fault_is_no_restart(ended: Ended, tmp_path: Path, name: str, on_reboot: str) -> None:
    code, data_part, vectors = ACCIDENTS[name]
    data, said = ended("--on-reboot", on_reboot, kernel(tmp_path / "kernel", say(b"up\r\n") + code, data_part))
    assert (kinds(data), data["restarts"]) == (("triple fault", 3), 0)
    assert [fault["vector"] for fault in data["death"]["exceptions"]] == vectors
    report = said[said.index("lguest-py: the Guest ended in a triple fault: ") :]
    assert "Guest registers, in ring 1, after " in report
    assert "exceptions that could not be delivered" in report
    assert "; then the triple fault" in report
    assert said.index("up\r\n") < said.index(report)
    if code.endswith(UD2):
        assert data["death"]["registers"]["eip"] == BASE + 5 + len(say(b"up\r\n") + code) - 2


RESTARTS = {
    "the keyboard controller": (out(0x64, 0xFE), b"", "keyboard controller"),
    "the reset register": (out(0xCF9, 6), b"", "reset register"),
    "port 0x92": (out(0x92, 1), b"", "port 0x92"),
    "an empty IDT and int3": (EMPTY + INT3, table(0), "triple fault of its own making"),
    "an empty IDT and int": (EMPTY + b"\xcd\x13", table(0), "triple fault of its own making"),
}


@pytest.mark.parametrize("name", RESTARTS)
def test_a_restart_that_the_guest_asked_for(ended: Ended, tmp_path: Path, name: str) -> None:
    code, data_part, reason = RESTARTS[name]
    data, _ = ended("--on-reboot", "exit", kernel(tmp_path / "kernel", code, data_part))
    assert kinds(data) == ("restarted", 0)
    assert reason in data["reason"]


def test_what_only_looks_like_a_reset_is_none(ended: Ended, tmp_path: Path) -> None:
    fast_a20 = b"\xe4\x92\x0c\x02\xe6\x92"  # in al; or al, 2; out
    code = out(0x64, 0xAE) + out(0x64, 0xD1) + out(0xCF9, 2) + fast_a20 + POWER_OFF
    data, _ = ended(kernel(tmp_path / "kernel", code))
    assert kinds(data) == ("powered off", 0)


def test_restarts_in_a_row_that_do_nothing_end_the_run(ended: Ended, tmp_path: Path) -> None:
    data, said = ended(kernel(tmp_path / "kernel", out(0xCF9, 6)))
    assert (kinds(data), data["restarts"]) == (("restart loop", 3), EARLY_RESTARTS - 1)
    assert said.count("the Guest restarts (") == EARLY_RESTARTS - 1
    assert re.findall(r"^lguest-py: the Guest keeps restarting: (.*)$", said, re.M) == [
        "5 times in a row before it printed anything or ran a program, the last by the reset register (port 0xCF9)"
    ]


def test_a_guest_that_says_something_restarts_on(ended: Ended, tmp_path: Path) -> None:
    code = say(b"up\r\n") + EMPTY + INT3
    data, said = ended("--timeout", "6", kernel(tmp_path / "kernel", code, table(0)))
    assert data["end"] == "time limit"
    assert said.count("up\r\n") >= data["restarts"] > 0


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("word", ["reboot=t", "reboot=k"])
def test_a_distributions_kernel_reboots_by_its_last_resort_too(engine_name: str, stock: Kernel, word: str) -> None:
    words = "quiet", word, 'run="reboot -f"'
    guest = Linux(engine_name, "debian-6.1-686", None, *words, console="ttyS0", options=("--on-reboot", "exit"))
    try:
        data = guest.finish()
    finally:
        guest.close()
    assert kinds(data) == ("restarted", 0)
    assert ("triple fault of its own making" if word == "reboot=t" else "keyboard controller") in data["reason"]


# --- an exception that cannot be delivered becomes another ----------------------------------------------------------

POP_AND_TELL = b"\x58" + PUT_BYTE + b"\x58" + PUT_BYTE + POWER_OFF  # the error code's and eip's lowest byte
AT = BASE + 5 + len(lidt(DATA))  # of the instruction that faults

FOLLOWS = {
    "of an absent gate, segment not present": (UD2, {11: HANDLER}, [6], 6 << 3 | 3),
    "of an absent gate for int n, the same, not external": (b"\xcd\x1e", {11: HANDLER}, [0x1E], 0x1E << 3 | 2),
    "of a gate of no type, general protection": (UD2, {13: HANDLER}, [], 6 << 3 | 3),
    "of two that do not go together, a double fault": (BAD_SEGMENT, {8: HANDLER, 11: OTHER}, [13], 0),
}


@pytest.mark.parametrize("name", FOLLOWS)
def test_what_follows_an_exception_without_a_handler(ended: Ended, tmp_path: Path, name: str) -> None:
    code, handlers, absent, error = FOLLOWS[name]
    idt = bytearray(gates(handlers, absent))
    if not absent:
        idt[8 + 6 * 8 + 5] = 0x8C  # present, and a call gate
    parts = {HANDLER: POP_AND_TELL, OTHER: HALT}
    data, said = ended("--quiet", kernel(tmp_path / "kernel", lidt(DATA) + code, bytes(idt), parts))
    assert kinds(data) == ("powered off", 0), said
    at = AT + (5 if code is BAD_SEGMENT else 0)
    assert said.encode() == bytes([error & 0xFF]).decode("utf-8", "replace").encode() + bytes([at & 0xFF])


# --- the last switches ----------------------------------------------------------------------------------------------


def in_order(report: str) -> int:
    """No time in a report runs backwards; how many switches it tells."""
    times = re.findall(r"^ +\+(\S+) us  ring \d  eip ", report, re.M)
    assert not [time for time in times if float(time) < 0], report
    return len(times)


def test_a_guest_that_spins_behind_its_panic_does_not_change_its_report(ended: Ended, tmp_path: Path) -> None:
    for _ in range(3):
        data, said = ended(kernel(tmp_path / "kernel", SWITCH_OFTEN + say(PANIC) + SWITCH_FOREVER))
        assert data["end"] == "panicked"
        assert in_order(said) == 63
        times = [switch["us"] for switch in data["death"]["last_switches"]]
        assert len(times) == 63
        assert all(before < after for before, after in itertools.pairwise(times))
        counts = data["switches"]
        assert counts["total"] - sum(counts["by_cause"].values()) in (0, 1)


def test_a_program_that_ends_a_guest_gets_a_whole_report(engine_name: str, tmp_path: Path) -> None:
    image = kernel(tmp_path / "kernel", SWITCH_OFTEN + say(b"up\r\n") + SWITCH_FOREVER)
    with lguest_py.Machine(image, engine=engine_name) as machine:  # type: ignore[arg-type]
        machine.console.expect("up", timeout=300)
        machine.close()
        result = machine.wait(timeout=300)
    assert result.outcome.end is End.LEFT
    assert in_order(death(result)) == 63


def test_so_does_who_ends_an_lguest_guest(engine_name: str) -> None:
    with lguest_py.Machine(engine=engine_name) as machine:  # type: ignore[arg-type]
        machine.console.expect("lguest> ", timeout=300)
        machine.close()
        result = machine.wait(timeout=300)
    assert result.outcome.end is End.LEFT
    assert in_order(death(result)) == 63
