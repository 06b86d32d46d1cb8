# SPDX-License-Identifier: GPL-2.0-or-later
"""Lab 5, a device: run ``pytest labs/05-device``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from exercise import must_power_off, not_yet, run, told
from ring_lab import Rig

from lguest_py.devices.device import Device
from lguest_py.devices.errors import GuestError

KINDS, LIST, DEVICE = "lguest_py/hardware/kinds.py", "lguest_py/launcher/device_list.py", "lguest_py/devices/upper.py"
DRIVER, COMMANDS = "guest_kernel/drivers/upper.c", "guest_kernel/main/commands.c"
TYPE = 60
PIECE = 4096  # the most that is answered to one request
SECONDS = 60


def kind() -> Any:
    """An Upper()."""
    try:
        from lguest_py.hardware import kinds
    except Exception as error:
        not_yet(f"{KINDS} cannot be imported. {told(error)}")
    made = getattr(kinds, "Upper", None)
    if not made:
        not_yet(f"there is no class Upper in {KINDS}")
    if made not in kinds.Hardware.__args__:
        not_yet(f"Upper is not among the kinds of Hardware, at the end of {KINDS}")
    return made()


def made_of(upper: Any, stack: ExitStack) -> Device:
    """The device that the Launcher makes of an Upper()."""
    try:
        from lguest_py.launcher.device_list import _make

        device = _make(upper, 0, lambda text: None, lambda path: None)  # type: ignore[arg-type,return-value]
    except Exception as error:
        not_yet(f"_make() in {LIST} fails. {told(error)}")
    if device is None:
        not_yet(f"_make() in {LIST} makes no device of an Upper()")
    stack.callback(device.close)
    return device


@contextmanager
def rig(legacy: bool = False) -> Iterator[Rig]:
    """The device, and a driver in Python.  Whatever it raises that is no GuestError would end the Launcher."""
    upper = kind()
    with ExitStack() as stack:
        device = made_of(upper, stack)
        if device.type != TYPE:
            not_yet(f"the device's type is {device.type}, and {TYPE} is what the driver looks for")
        if not device.queue_sizes:
            not_yet(f"the device has no queue: queue_sizes in {DEVICE}")
        try:
            yield Rig(device, legacy=legacy)
        except (GuestError, pytest.fail.Exception):
            raise
        except TimeoutError:
            not_yet("the device gave no buffer back: pop() and push() of lguest_py/devices/virtqueue.py")
        except Exception as error:
            not_yet(f"the device raised {told(error)}. A Guest could end the Launcher so")


def answer(machine: Rig, readable: list[bytes], writable: list[int]) -> bytes:
    """What the device writes for one request."""
    return machine.request(0, readable, writable, seconds=2)


@pytest.mark.parametrize("legacy", [True, False], ids=["page", "pci"])
def test_1_the_device_alone(legacy: bool) -> None:
    with rig(legacy) as machine:
        got = answer(machine, [b"Hello from ring 1"], [64])
        if got != b"HELLO FROM RING 1":
            not_yet(f"the driver sent b'Hello from ring 1', and the device wrote {got!r}")
        if not machine.interrupts:
            not_yet("the device gave a buffer back without an interrupt, so the driver waits for ever: notify()")
        if (got := answer(machine, [b"two pie", b"ces"], [64])) != b"TWO PIECES":
            not_yet(f"the driver sent one text in two buffers, b'two pie' and b'ces', and the device wrote {got!r}")


def test_2_a_driver_that_is_wrong() -> None:
    with rig() as machine:
        if (got := answer(machine, [b"long text"], [4])) != b"LONG":
            not_yet(f"the driver sent b'long text' and has room for 4 bytes: the device wrote {got!r}, not b'LONG'")
        if (got := answer(machine, [b"split"], [2, 3])) not in (b"SP", b"SPLIT"):
            not_yet(f"the driver has room in two buffers, of 2 and 3 bytes: the device wrote {got!r}")
        if len(got := answer(machine, [b"x" * 100_000], [100_000])) > PIECE:
            not_yet(f"one request was answered with {len(got)} bytes: at most {PIECE}, or it keeps the Launcher busy")
        for readable, writable in (([b"text"], []), ([], [16])):
            missing = "writable" if readable else "readable"
            try:
                answer(machine, readable, writable)
            except GuestError:
                machine.reset()
                machine.start()
                continue
            not_yet(f"a chain without a {missing} buffer breaks the rules of this device: raise GuestError")


def test_3_a_reset() -> None:
    with rig() as machine:
        answer(machine, [b"one"], [8])
        machine.reset()
        machine.device.service()  # it has no queue now
        machine.start()
        if answer(machine, [b"again"], [8]) != b"AGAIN":
            not_yet("after a reset the device does not work: reset() forgets the queue, start() gets another one")


@pytest.mark.parametrize("bus", ["page", "pci"])
def test_4_from_the_guest(request: pytest.FixtureRequest, bus: str) -> None:
    with rig() as machine:
        answer(machine, [b"first the device"], [16])
        if not machine.interrupts:
            not_yet("the device raises no interrupt: see the first test")
    lguest = request.getfixturevalue("lguest")  # which imports what the lab changes
    output, result = run(
        lguest, None, devices=[kind()], bus=bus, command_line=["run=upper hello from ring 1"], timeout=SECONDS
    )
    if "no command upper" in output:
        not_yet(f"the tiny Guest has no command 'upper': commands[] in {COMMANDS}")
    must_power_off(result)
    if "HELLO FROM RING 1" not in output:
        not_yet(f"'upper hello from ring 1' should print HELLO FROM RING 1: see the console below, and {DRIVER}")
    output, result = run(lguest, None, bus=bus, command_line=["run=upper hello"], timeout=SECONDS)
    must_power_off(result)
    if "HELLO" in output:
        not_yet("without the device the command prints HELLO: the Guest does the work by itself")
