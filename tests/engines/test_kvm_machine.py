# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine contract, seen from inside on a bare machine: what both engines must offer alike.

tests/engines/test_kvm_machine.S is what runs.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import build_images
import pytest
import toolchain

from lguest_py import engines
from lguest_py.engines import cpuid
from lguest_py.engines.base import Engine, MachineEnd
from lguest_py.errors import EngineError

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 16 << 20
BASE, BOX = 0x1000, 0x2000
WANTED, TAKEN, TICKS, FLAGS, FLAG, CPUID = (BOX + n for n in (20, 24, 28, 32, 60, 64))
LEAVE, PRINT, RING, RECEIVE, TRIPLE, SPIN, HALT, CPUIDS, READ_PORT, READ_MEMORY, TICK = range(11)
SECONDS = 60  # no step takes as long, on a slow machine either


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The assembled program."""
    build_images.Builder().generate()
    where = tmp_path_factory.mktemp("machine")
    tools = toolchain.find()
    generated = ROOT / "build" / "generated"
    source = Path(__file__).with_suffix(".S")
    includes = [f"-I{path}" for path in (ROOT, generated)]
    for command in (
        [*tools.compile, *includes, "-c", source, "-o", where / "o"],
        [*tools.link, "-Ttext=0x1000", "-e", "start", where / "o", "-o", where / "elf"],
        [*tools.objcopy, "-O", "binary", where / "elf", where / "bin"],
    ):
        subprocess.run([str(word) for word in command], check=True)
    return (where / "bin").read_bytes()


def load(engine: Engine, program: bytes) -> None:
    """Put the program and its parameters in place."""
    facts = engine.facts
    engine.memory[BASE : BASE + len(program)] = program
    ports = (facts.doorbell_port, facts.doorbell_ack_port, facts.debug_port, facts.exit_port, facts.doorbell_pin)
    struct.pack_into("<5I", engine.memory, BOX, *ports)


@pytest.fixture
def engine(engine_name: str, program: bytes) -> Iterator[Engine]:
    """A machine with the program in it."""
    made = engines.choose(engine_name).make(MEMORY)
    try:
        load(made, program)
        yield made
    finally:
        made.close()


def word(engine: Engine, address: int) -> int:
    """One word of its memory."""
    value: int = struct.unpack_from("<I", engine.memory, address)[0]
    return value


def wait(engine: Engine) -> MachineEnd | None:
    """What ``poll`` says when the machine next tells of something."""
    assert select.select([engine], [], [], SECONDS)[0], "the machine is silent"
    return engine.poll()


def until_the_end(engine: Engine) -> MachineEnd:
    """How it ends."""
    while (end := wait(engine)) is None:
        pass
    return end


def test_it_is_entered_as_promised_and_ends_at_the_exit_port(engine: Engine) -> None:
    assert engine.poll() is None
    engine.start(BASE, 0x1230 + LEAVE)
    assert until_the_end(engine) == MachineEnd(exited=True)
    flags, cr0, ebx = struct.unpack_from("<3I", engine.memory, FLAGS)
    assert flags & 0x200 == 0, "interrupts were on"
    assert cr0 & 0x80000001 == 1, "protected mode without paging was promised"
    assert ebx == 0x1230 + LEAVE


def test_the_end_stays_and_can_be_waited_for_again(engine: Engine) -> None:
    engine.start(BASE, LEAVE)
    end = until_the_end(engine)
    assert wait(engine) == end
    assert wait(engine) == end
    engine.interrupt()
    assert engine.poll() == end


def test_debug_text(engine: Engine) -> None:
    engine.start(BASE, PRINT)
    assert until_the_end(engine).exited
    assert engine.debug_text() == "one\ntwo\n"
    assert engine.debug_text() == "one\ntwo\n"


def test_every_doorbell_wakes(engine: Engine) -> None:
    struct.pack_into("<I", engine.memory, WANTED, 50)
    engine.start(BASE, RING)
    for _ in range(50):
        assert wait(engine) is None
        assert not select.select([engine], [], [], 0)[0], "the machine waits for us, and rang again"
        struct.pack_into("<I", engine.memory, FLAG, 1)
    assert until_the_end(engine).exited


def test_every_interrupt_arrives(engine: Engine) -> None:
    struct.pack_into("<I", engine.memory, WANTED, 50)
    engine.start(BASE, RECEIVE)
    for taken in range(50):
        assert wait(engine) is None
        assert word(engine, TAKEN) == taken
        engine.interrupt()
    assert until_the_end(engine).exited
    assert word(engine, TAKEN) == 50


def test_the_timer_of_the_local_apic(engine: Engine) -> None:
    """One shot is one interrupt, never early: its rate is 1 GHz, and the TSC's is known on kvm."""
    struct.pack_into("<I", engine.memory, WANTED, 20)
    engine.start(BASE, TICK)
    assert until_the_end(engine).exited
    assert word(engine, TICKS) == 20
    began, ended = struct.unpack_from("<2Q", engine.memory, FLAGS)
    khz = engine.facts.tsc_khz
    assert (ended - began) / khz >= 19.9 if khz else ended > began


def test_a_triple_fault_is_told_apart(engine: Engine) -> None:
    engine.start(BASE, TRIPLE)
    end = until_the_end(engine)
    assert not end.exited
    assert end.detail.startswith("triple fault of the Host kernel: ")


def test_the_cpu_says_only_what_is_allowed(engine: Engine) -> None:
    engine.start(BASE, CPUIDS)
    assert until_the_end(engine).exited
    leaves = [struct.unpack_from("<4I", engine.memory, CPUID + 16 * n) for n in range(7)]
    assert leaves[0][0] == cpuid.LAST_BASIC
    assert leaves[1][2] & ~cpuid.ALLOWED["ecx"] == 0
    assert leaves[1][3] & ~cpuid.ALLOWED["edx"] == 0
    assert leaves[1][3] == cpuid.ALLOWED["edx"], "what the Host kernel and every Guest may count on"
    assert leaves[2][0] == cpuid.LAST_EXTENDED
    assert leaves[3][2] == 0
    assert leaves[3][3] & ~cpuid.NX == 0


@pytest.mark.parametrize("command", [SPIN, HALT])
def test_closing_a_machine_that_never_ends(engine: Engine, command: int) -> None:
    engine.start(BASE, command)
    time.sleep(0.05)  # it may be running by now, or not yet: both must work
    engine.close()
    engine.close()


def test_closing_one_that_was_not_started(engine: Engine) -> None:
    engine.close()


def test_nothing_is_left_behind(engine_name: str, program: bytes) -> None:
    def once(command: int) -> None:
        engine = engines.choose(engine_name).make(MEMORY)
        try:
            load(engine, program)
            engine.start(BASE, command)
            if command == LEAVE:
                assert until_the_end(engine).exited
        finally:
            engine.close()

    once(LEAVE)
    before = sorted(os.listdir("/proc/self/fd")), threading.active_count(), maps(MEMORY)
    for command in (LEAVE, SPIN, HALT):
        once(command)
    gc.collect()
    assert (sorted(os.listdir("/proc/self/fd")), threading.active_count(), maps(MEMORY)) == before


def maps(size: int) -> int:
    """How many mappings of this process have this size: the machines' memory."""
    ranges = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
    return sum(int(end, 16) - int(start, 16) == size for start, end in ranges)


KVM_ONLY = pytest.mark.parametrize("engine_name", ["kvm"])


@KVM_ONLY
def test_kvm_a_triple_fault_tells_the_registers(engine: Engine) -> None:
    engine.start(BASE, TRIPLE)
    detail = until_the_end(engine).detail
    if "lost, as always on AMD" not in detail:
        for text in ("ecx=1234 ", "cr0=11 ", "eip=1", "cs=8"):
            assert text in detail


@KVM_ONLY
@pytest.mark.parametrize(("command", "text"), [(READ_PORT, "Io(port=4660, "), (READ_MEMORY, "Mmio(address=348966")])
def test_kvm_an_access_to_nothing_ends_it(engine: Engine, command: int, text: str) -> None:
    engine.start(BASE, command)
    end = until_the_end(engine)
    assert not end.exited
    assert text in end.detail
    assert "eip=1" in end.detail


@KVM_ONLY
def test_kvm_a_signal_to_the_process_is_not_the_vcpus(engine: Engine) -> None:
    """A signal that arrives while the vCPU runs is handled by the main thread and does not end the machine."""
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        struct.pack_into("<I", engine.memory, WANTED, 3)
        engine.start(BASE, RING)
        for _ in range(3):
            assert wait(engine) is None
            os.kill(os.getpid(), signal.SIGUSR1)
            struct.pack_into("<I", engine.memory, FLAG, 1)
        assert until_the_end(engine).exited
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(seen) == 3


@KVM_ONLY
def test_kvm_a_vm_too_large_is_refused(engine_name: str) -> None:
    with pytest.raises(EngineError, match="4096 MiB"):
        engines.choose(engine_name).make(1 << 32)


@KVM_ONLY
def test_kvm_failing_after_the_probe_names_the_other_engine(engine_name: str) -> None:
    choice = engines.choose(engine_name)
    with pytest.raises(EngineError, match=r"KVM_SET_USER_MEMORY_REGION.* --engine tcg"):
        choice.make(MEMORY + 100)


@KVM_ONLY
def test_kvm_memory_still_looked_at_does_not_keep_the_vm(engine: Engine) -> None:
    view = engine.memory[BASE : BASE + 4]
    engine.start(BASE, SPIN)
    engine.close()
    assert len(bytes(view)) == 4
