# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher against a machine played by a script: memory, early text, devices, input and output, times."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from fake_engine import AGAIN, FACTS, WAIT, ConsoleDriver, FakeEngine, Script, fake_images
from launcher_lab import MIB, Lab, lab, pipes, power_off

from lguest_py.console.streams import LIMIT, Input
from lguest_py.errors import ImageError, UsageError
from lguest_py.images import Image, Segment
from lguest_py.launcher.vm_memory import Plan
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.usefixtures("fake_images")
__all__ = ["fake_images", "lab", "pipes"]


def test_memory_is_laid_out_as_the_contract_says(lab: Lab, tmp_path: Path) -> None:
    seen: dict[str, object] = {}
    (tmp_path / "initrd").write_bytes(b"INITRD")

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        seen.update({name: engine.machine[name] for name in L.MACHINE.fields})
        seen["kernel"] = bytes(engine.memory[L.HOST_KERNEL_BASE : L.HOST_KERNEL_BASE + 10])
        seen["mailbox"] = any(engine.memory[L.MAILBOX_ADDRESS : L.MAILBOX_ADDRESS + L.MAILBOX.size])
        seen["image"] = engine.guest[0x2000]
        seen["line"] = bytes(engine.guest[:0x2000]).find(b"root=/dev/x quiet\0")
        seen["subarch"] = engine.guest[L.BOOT_PARAMS_SUBARCH]
        start = int.from_bytes(engine.guest[L.BOOT_PARAMS_INITRD_START :][:4], "little")
        seen["initrd"] = bytes(engine.guest[start : start + 6])
        yield from power_off(engine)

    before = time.time()
    result = lab.run(script, command_line="root=/dev/x quiet", initrd=str(tmp_path / "initrd"))
    assert result.status == 0
    assert lab.engines[0].started == (L.HOST_KERNEL_BASE, L.MACHINE_ADDRESS)
    assert before - 1 <= int(str(seen.pop("wall_seconds"))) <= time.time() + 1
    assert int(str(seen.pop("wall_nanoseconds"))) < 10**9
    assert int(str(seen.pop("line"))) > 0
    expected = {
        "magic": L.MACHINE_MAGIC,
        "memory_bytes": 20 * MIB + 4 * MIB + MIB,
        "guest_base": 20 * MIB,
        "guest_bytes": 4 * MIB,
        "device_pages": 256,
        "guest_entry": 0x2000,
        "personality": L.PERSONALITY_LGUEST,
        "tsc_khz": FACTS.tsc_khz,
        "doorbell_port": FACTS.doorbell_port,
        "doorbell_pin": FACTS.doorbell_pin,
        "doorbell_ack_port": FACTS.doorbell_ack_port,
        "debug_port": FACTS.debug_port,
        "exit_port": FACTS.exit_port,
        "kernel": b"HOSTKERNEL",
        "mailbox": False,
        "image": 0xF4,
        "subarch": 1,
        "initrd": b"INITRD",
    }
    assert {name: seen[name] for name in expected} == expected


@pytest.mark.parametrize(("guest", "base"), [(4, 20), (64, 20), (256, 20), (257, 24), (1024, 32), (2048, 48)])
def test_the_host_area_grows_with_the_guest(guest: int, base: int) -> None:
    assert Plan(guest * MIB).guest_base == base * MIB


@pytest.mark.parametrize("memory", [0, 4 * MIB - 4096, 2048 * MIB + 4096, 64 * MIB + 1])
def test_memory_that_cannot_be_is_refused(memory: int) -> None:
    with pytest.raises(UsageError, match="4M to 2048M"):
        Plan(memory)


def test_early_text_comes_out_and_a_full_ring_is_answered(lab: Lab) -> None:
    text = bytes(range(256)) * 256  # eight rings full

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        for start in range(0, len(text), L.TEXT_BYTES):
            engine.early_text(text[start : start + L.TEXT_BYTES])
            yield WAIT  # a full ring: nothing but an interrupt wakes us
            assert engine.mailbox["text_tail"] == engine.mailbox["text_head"]
        yield from power_off(engine)

    assert lab.run(script).status == 0
    assert lab.pipes.close() == text


def test_text_and_output_said_just_before_the_end_are_not_lost(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        driver = ConsoleDriver(engine)
        engine.early_text(b"early ")
        driver.write(b"late")
        engine.end(L.END_POWER_OFF)
        return
        yield WAIT

    assert lab.run(script).status == 0
    assert lab.pipes.close() == b"early late"


def test_a_descriptor_holds_the_guest_until_it_was_handled(lab: Lab) -> None:
    seen: list[object] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        driver = ConsoleDriver(engine)
        driver.transmit.send(0, 0x5000, b"forgotten by reset")
        driver.accept(status=0)
        yield WAIT
        seen.append(engine.mailbox["notify_tail"])
        seen.append(driver.transmit.avail_index)
        yield from power_off(engine)

    assert lab.run(script).status == 0
    assert seen == [1, 0]
    assert lab.pipes.close() == b""


def test_a_full_notify_ring_is_answered(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        driver = ConsoleDriver(engine)
        for _ in range(L.NOTIFY_RECORDS):
            engine.notify(driver.transmit.address)
        yield WAIT
        assert engine.mailbox["notify_tail"] == L.NOTIFY_RECORDS
        yield from power_off(engine)

    assert lab.run(script).status == 0


def test_console_in_and_out_with_interrupts(lab: Lab) -> None:
    read, write = os.pipe()
    os.write(write, b"typed")
    os.close(write)

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        driver = ConsoleDriver(engine)
        driver.accept()
        yield WAIT
        assert driver.irqs == (1, 2)
        driver.write(b"$ ")
        yield WAIT
        assert engine.mailbox["irq_raised", 2] == 1
        assert driver.transmit.used() == [(0, 0)]
        got = b""
        head = 0
        while not got.endswith(b"\x04"):
            driver.receive.receive(head, 0x6000, 4)
            engine.notify(driver.receive.address)
            yield WAIT
            for used, length in driver.receive.used():
                assert used == head
                got += bytes(engine.guest[0x6000 : 0x6000 + length])
                head += 1
        assert engine.mailbox["irq_raised", 1] == head
        driver.write(got)
        yield WAIT
        yield from power_off(engine)

    assert lab.run(script, source=Input(read)).status == 0
    os.close(read)
    assert lab.pipes.close() == b"$ typed\x04"


def test_each_boot_is_told_once_that_the_input_has_ended(lab: Lab) -> None:
    got: list[bytes] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        driver = ConsoleDriver(engine)
        driver.receive.receive(0, 0x6000, 64)
        driver.receive.receive(1, 0x6100, 64)
        engine.notify(driver.receive.address)
        yield WAIT
        data = b""
        for head, length in driver.receive.used():
            data += bytes(engine.guest[0x6000 + head * 0x100 :][:length])
        got.append(data)
        engine.end(L.END_POWER_OFF if len(got) == 2 else L.END_RESTART)

    result = lab.run(script, script, source=Input(os.open(os.devnull, os.O_RDONLY)))
    assert result.status == 0
    assert got == [b"\x04", b"\x04"]


def test_input_that_a_guest_did_not_take_goes_to_the_next(lab: Lab) -> None:
    got: list[bytes] = []

    def taker(size: int, end: int) -> Script:
        def script(engine: FakeEngine) -> Generator[str, None, None]:
            driver = ConsoleDriver(engine)
            driver.receive.receive(0, 0x6000, size)
            engine.notify(driver.receive.address)
            while not (used := driver.receive.used()):
                yield WAIT
            got.append(bytes(engine.guest[0x6000 : 0x6000 + used[0][1]]))
            engine.end(end)

        return script

    read, write = os.pipe()
    os.write(write, b"abcdef")
    os.close(write)
    lab.run(taker(4, L.END_RESTART), taker(64, L.END_POWER_OFF), source=Input(read))
    os.close(read)
    assert got[0] == b"abcd"
    assert got[1] in (b"ef", b"ef\x04")


def test_input_is_left_where_it_is_while_the_guest_takes_none(lab: Lab) -> None:
    read, write = os.pipe()
    os.write(write, b"kept")

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        for _ in range(5):
            yield AGAIN
        yield from power_off(engine)

    lab.run(script, source=Input(read))
    os.close(write)
    assert os.read(read, 100) == b"kept"
    os.close(read)


def test_a_slow_reader_holds_the_guest_and_gets_every_byte(lab: Lab) -> None:
    block = bytes(range(251)) * 1000
    count = 4
    assert len(block) * (count - 1) > LIMIT + 65536 + 4096, "more than all that waits outside the Guest"
    waited: list[bool] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        driver = ConsoleDriver(engine)
        for head in range(count):
            driver.write(block, head, 0x100000 + head * 0x40000)
        for _ in range(20):
            yield AGAIN
        waited.append(len(driver.transmit.used()) < count)
        lab.pipes.go.set()
        done = 0
        while done < count:
            yield WAIT
            done = driver.transmit.used_index
        yield from power_off(engine)

    lab.pipes.go.clear()
    assert lab.run(script).status == 0
    assert waited == [True]
    assert lab.pipes.close() == block * count


def test_an_image_that_does_not_fit_is_refused_and_the_engine_closed(lab: Lab) -> None:
    big = Image("big.elf", "ELF", 0x2000, (Segment(0x2000, b"", 8 * MIB),), b"", None, 1)
    with pytest.raises(ImageError, match="--memory"):
        lab.run(power_off, image=big)
    assert lab.engines[0].closed


def test_times_come_from_both_clocks(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.mailbox["tsc_khz"] = 1_000_000
        engine.mailbox["boot_tsc"] = 7_000_000_000
        engine.mailbox["guest_tsc"] = 7_000_250_000
        engine.mailbox["end_tsc"] = 7_000_500_000
        yield from power_off(engine)

    times = lab.run(script).times
    assert times.engine is not None
    assert times.host_kernel is not None
    assert times.guest is not None
    assert times.total is not None
    assert times.guest - times.host_kernel == pytest.approx(0.00025)
    assert times.guest < times.total


def test_without_the_machines_clock_only_our_times_are_told(lab: Lab) -> None:
    times = lab.run(power_off).times
    assert (times.host_kernel, times.guest) == (None, None)
