# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine with PCI, from the Host kernel's side: what is in its memory, and how requests are answered."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from fake_engine import AGAIN, IMAGE, LATER, WAIT, FakeEngine, PciConsole, fake_images
from launcher_lab import Lab, lab, pipes, power_off

from lguest_py.console.streams import Input
from lguest_py.devices.console import Console
from lguest_py.devices.device import Progress
from lguest_py.devices.virtqueue import Virtqueue
from lguest_py.errors import UsageError
from lguest_py.launcher import launcher, vm
from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Plan, bus_of
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View
from lguest_py.shared_memory.mailbox import Mailbox

pytestmark = pytest.mark.usefixtures("fake_images")
__all__ = ["fake_images", "lab", "pipes"]

MIB = 1 << 20
NATIVE = replace(IMAGE, personality="native", version="6.1.0", segments=(replace(IMAGE.segments[0], address=2 * MIB),))


def hello(engine: FakeEngine) -> Generator[str, None, tuple[PciConsole, int]]:
    """The Guest's driver starts and writes text; its console, and how many interrupts there were before that."""
    console = PciConsole(engine)
    yield from console.start()
    before = engine.interrupts
    console.drivers[1].add([b"hello"])
    console.notify(1)
    return console, before


@contextmanager
def typed(text: bytes = b"typed") -> Iterator[Input]:
    """Input that somebody typed."""
    read, write = os.pipe()
    os.write(write, text)
    try:
        yield Input(read)
    finally:
        os.close(read)
        os.close(write)


def test_a_kernel_of_generation_2_gets_pci(lab: Lab) -> None:
    seen: dict[str, int] = {}
    functions: list[int] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        seen.update({name: engine.machine[name] for name in L.MACHINE.fields})
        for slot in range(3):
            at = L.PCI_ADDRESS + slot * L.PCI_FUNCTION.size
            functions.append(int.from_bytes(View(engine.memory, at, L.PCI_FUNCTION).bytes("config")[:4], "little"))
        yield from power_off(engine)

    assert lab.run(script, image=LATER).status == 0
    expected = {
        "memory_bytes": 20 * MIB + 4 * MIB,
        "device_pages": 0,
        "bus": L.BUS_PCI,
        "abi": L.LGUEST_DATA_2,
        "bar_base": 5 * MIB,
        "bar_bytes": 16 * MIB,
    }
    assert {name: seen[name] for name in expected} == expected
    assert functions == [0x12378086, 0x10431AF4, 0xFFFFFFFF]


def test_a_kernel_of_generation_1_gets_the_device_page(lab: Lab) -> None:
    seen: list[int] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        seen.extend(engine.machine[name] for name in ("bus", "abi", "bar_base", "bar_bytes"))
        yield from power_off(engine)

    assert lab.run(script).status == 0
    assert seen == [L.BUS_PAGE, L.LGUEST_DATA_1, 0, 0]


def test_the_bus_can_be_chosen() -> None:
    assert [bus_of(image) for image in (IMAGE, LATER, NATIVE)] == ["page", "pci", "pci"]
    assert bus_of(IMAGE, "pci") == "pci"
    assert bus_of(LATER, "page") == "page"
    with pytest.raises(UsageError, match="lguest's"):
        bus_of(NATIVE, "page")


@pytest.mark.parametrize(("memory", "base"), [(4 * MIB, 5), (4 * MIB + 4096, 6), (2048 * MIB, 2049)])
def test_the_window_for_bars_is_above_a_gap_above_the_memory(memory: int, base: int) -> None:
    assert Plan(memory, "pci").bar_base == base * MIB


def test_the_console_talks_over_pci_and_reads(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console = PciConsole(engine)
        yield from console.start()
        receive, transmit = console.drivers
        transmit.add([b"hello ", b"world\n"])
        console.notify(1)
        request = receive.add([], [16])
        console.notify(0)
        while not receive.used_index or not transmit.used_index:
            yield WAIT
        assert engine.mailbox["irq_raised", 1]
        assert receive.read(request)[:5] == b"typed"
        yield from power_off(engine)

    with typed() as source:
        assert lab.run(script, image=LATER, source=source).status == 0
    assert lab.pipes.close() == b"hello world\n"


def test_a_driver_that_lies_breaks_its_device_and_not_the_guest(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console = PciConsole(engine)
        yield from console.start()
        console.drivers[1].send(0, 0x5000, b"before")
        console.drivers[1].receive(1, (1 << 64) - 1, 5)
        console.notify(1)
        while not engine.mailbox["config_raised", 1]:
            yield WAIT
        status = yield from engine.access(1, L.BAR_COMMON + 20, 1)
        assert status == 0x4F
        yield from console.start()
        console.drivers[1].add([b" after"])
        console.notify(1)
        while not console.drivers[1].used_index:
            yield WAIT
        yield from power_off(engine)

    assert lab.run(script, image=LATER).status == 0
    assert lab.pipes.close() == b"before after"
    assert [line for line in lab.lines if "broke a rule" in line and "beyond the Guest's memory" in line]


def test_no_interrupt_while_the_host_kernel_polls(lab: Lab) -> None:
    counts: list[int] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.mailbox["polling"] = 1
        before = engine.interrupts
        engine.mailbox["register_head"] = 1
        engine.mailbox["register_size"] = 4
        engine.mailbox["register_slot"] = 1
        engine.mailbox["doorbell"] = 1
        engine._wake()
        yield WAIT
        counts.append(engine.interrupts - before)
        counts.append(engine.mailbox["register_tail"])
        engine.mailbox["polling"] = 0
        yield from power_off(engine)

    assert lab.run(script, image=LATER).status == 0
    assert counts == [0, 1]


@pytest.mark.parametrize("handled", [True, False])
def test_no_interrupt_for_what_the_host_kernel_has_handled(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, handled: bool
) -> None:
    """It was looking when the interrupt was raised, and looks no more because it found it."""
    real = Mailbox.raise_irq

    def raise_irq(mailbox: Mailbox, irq: int) -> None:
        real(mailbox, irq)
        if handled:
            mailbox._view["irq_seen", irq] = mailbox._view["irq_raised", irq]

    monkeypatch.setattr(Mailbox, "raise_irq", raise_irq)
    counts: list[int] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console, before = yield from hello(engine)
        while not console.drivers[1].used_index:
            yield AGAIN
        counts.append(engine.interrupts - before)
        yield from power_off(engine)

    assert lab.run(script, image=LATER).status == 0
    assert counts == [0 if handled else 1]


def test_two_queues_raise_the_interrupt_of_their_function_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Host kernel looks no more after the first one, and the second one would need an interrupt of the machine."""
    real = Virtqueue.notify

    def notify(queue: Virtqueue) -> None:
        if queue._pushed:
            queue._interrupt()  # as another queue of this function
        real(queue)

    monkeypatch.setattr(Virtqueue, "notify", notify)
    raised: list[int] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console, _ = yield from hello(engine)
        while not console.drivers[1].used_index:
            yield WAIT
        raised.append(engine.mailbox["irq_raised", 1])
        yield from power_off(engine)

    assert lab.run(script, image=LATER).status == 0
    assert raised == [1]


def test_what_a_device_puts_off_is_told_before_the_launcher_waits(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Virtqueue.notify
    queues: set[Virtqueue] = set()

    def notify(queue: Virtqueue) -> None:
        queues.add(queue)

    def settle(console: Console) -> None:
        for queue in queues:
            real(queue)

    monkeypatch.setattr(Virtqueue, "notify", notify)
    monkeypatch.setattr(Console, "settle", settle)
    counts: list[int] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        _, before = yield from hello(engine)
        while not engine.mailbox["irq_raised", 1]:
            yield AGAIN
        yield AGAIN
        counts.append(engine.interrupts - before)
        yield from power_off(engine)

    assert lab.run(script, image=LATER).status == 0
    assert counts == [1]


def test_a_native_guest_types_at_its_serial_port_or_at_hvc0(lab: Lab) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console = PciConsole(engine)
        yield from console.start()
        receive, _ = console.drivers
        request = receive.add([], [16])
        console.notify(0)
        while not engine.mailbox["input_head"] and not receive.used_index:
            yield WAIT
        by_serial, by_hvc = bytes(engine.mailbox.bytes("input")[:5]), receive.read(request)[:5]
        seen.append((by_serial == b"typed", by_hvc == b"typed"))
        yield from power_off(engine)

    seen: list[tuple[bool, bool]] = []
    for command_line in ("console=ttyS0", "console=ttyS0 console=hvc0"):
        with typed() as source:
            lab.engines.clear()
            assert lab.run(script, image=NATIVE, command_line=command_line, source=source).status == 0
    assert seen == [(True, False), (False, True)]


def test_a_request_soon_after_another_needs_no_doorbell(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Launcher holds the doorbell while it looks, and rings are handled without it."""
    monkeypatch.setattr(launcher, "SPIN", 30.0)
    rings: list[int] = []
    finished = threading.Event()

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console = PciConsole(engine)
        yield from console.start()
        engine.mailbox["polling"] = 1
        transmit = console.drivers[1]

        def later() -> None:
            for number in range(1, 21):
                transmit.send(0, 0x5000, b"x")
                head = engine.mailbox["notify_head"]
                engine.mailbox["notify", head % L.NOTIFY_RECORDS] = L.NOTIFY_PCI | 1 << 16 | 1
                engine.mailbox["notify_head"] = (head + 1) & 0xFFFFFFFF
                if not engine.mailbox["doorbell"]:
                    engine.mailbox["doorbell"] = 1
                    rings.append(number)
                    engine._wake()
                while transmit.used_index != number:
                    time.sleep(0.001)
                time.sleep(0.01)
            finished.set()
            engine._wake()

        thread = threading.Thread(target=later)
        thread.start()
        while not finished.is_set():
            yield WAIT
        thread.join()
        yield from power_off(engine)

    assert lab.run(script, image=LATER).status == 0
    assert lab.pipes.close() == b"x" * 20
    assert len(rings) < 10


def test_looking_in_vain_is_skipped_more_and_more(lab: Lab) -> None:
    looked: list[float] = []

    class Slow(vm.Vm):
        def spin(self, seconds: float, deadline: float) -> Progress | None:
            looked.append(deadline)
            with patch.context() as blind:
                blind.setattr(self.poller, "anything", lambda: False)
                return super().spin(0.0, deadline)

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.mailbox["polling"] = 1
        for _ in range(100):
            yield from engine.access(1, L.BAR_COMMON + 20, 1)
        yield from power_off(engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "Vm", Slow)
        assert lab.run(script, image=LATER).status == 0
    assert 2 <= len(looked) <= 8  # 1 + 2 + 4 + … of a hundred


def test_a_flood_of_requests_starves_neither_signals_nor_the_time_limit(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the Launcher looks there is another request, and it never sleeps."""
    monkeypatch.setattr(launcher, "SPIN", 30.0)
    served: list[int] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console = PciConsole(engine)
        yield from console.start()
        engine.mailbox["polling"] = 1
        console.drivers[1].send(0, 0x5000, b"x")
        console.notify(1)

        def again(mailbox: Mailbox) -> bool:
            served.append(1)
            console.drivers[1].offer(0)
            engine.notify(L.NOTIFY_PCI | 1 << 16 | 1)
            return anything(mailbox)

        anything = Mailbox.anything
        monkeypatch.setattr(Mailbox, "anything", again)
        while True:
            yield WAIT

    assert lab.run(script, image=LATER, timeout=1.0).outcome.end is End.TIME_LIMIT
    monkeypatch.undo()
    assert len(served) > 100
    assert not lab.lines  # no rule was broken


class LatePace:
    """The Guest may have no input when that is asked for the first time, and may a moment later."""

    deadline = 0.0
    spent = True

    def __init__(self, idles: Callable[[], int]) -> None:
        self._asked = 0

    @property
    def room(self) -> int:
        self._asked += 1
        return 0 if self._asked == 1 else 100

    def gave(self, count: int) -> None:
        pass

    def wrote(self) -> None:
        pass


def test_input_that_may_come_from_now_on_is_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "InputPace", LatePace)

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        console = PciConsole(engine)
        yield from console.start()
        console.drivers[0].add([], [16])
        console.notify(0)
        while not console.drivers[0].used_index:
            yield WAIT
        yield from power_off(engine)

    with typed() as source:
        assert lab.run(script, image=LATER, source=source, timeout=20.0).status == 0


def test_no_wake_up_of_the_serial_port_is_lost(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Guest reads all of its input just before the Launcher clears the doorbell, which so is not rung for it."""
    clear = Mailbox.clear_doorbell

    def read_all_and_clear(mailbox: Mailbox) -> None:
        if lab.engines and lab.engines[-1].started:
            view = lab.engines[-1].mailbox
            view["input_tail"] = view["input_head"]
        clear(mailbox)

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.mailbox["polling"] = 1  # so that no interrupt of the Launcher makes this go on
        thread = threading.Thread(target=wake_at_the_end, args=(engine,))
        thread.start()
        while not read_all.is_set():
            yield WAIT
        thread.join()
        yield from power_off(engine)

    def wake_at_the_end(engine: FakeEngine) -> None:
        for _ in range(1000):
            if engine.mailbox["input_head"] == 3000:
                read_all.set()
                break
            time.sleep(0.01)
        engine._wake()

    read_all = threading.Event()
    monkeypatch.setattr(Mailbox, "clear_doorbell", read_all_and_clear)
    with typed(b"x" * 3000) as source:
        assert lab.run(script, image=NATIVE, source=source, timeout=20.0).status == 0
