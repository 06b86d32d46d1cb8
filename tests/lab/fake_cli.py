# SPDX-License-Identifier: GPL-2.0-or-later
"""The real command line on a scripted machine: ``python tests/lab/fake_cli.py SCRIPT IMAGES ARGUMENT…``."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

sys.path += [str(Path(__file__).with_name(name)) for name in ("devices", "engines")]  # it runs as a program of its own

from fake_engine import AGAIN, IMAGE, WAIT, ConsoleDriver, FakeEngine

from lguest_py import engines, images
from lguest_py.cli import main
from lguest_py.launcher import vm_memory
from lguest_py.shared_memory import _layouts as L

Steps = Generator[str, None, None]


def echo(engine: FakeEngine) -> Steps:
    """Prints a prompt, then what it is sent, until a Ctrl-D or a q."""
    driver = ConsoleDriver(engine)
    driver.accept()
    driver.write(b"ready\r\n")
    head = 0
    got = b""
    while not got.endswith((b"\x04", b"q")):
        driver.receive.receive(head, 0x6000, 64)
        while not (used := driver.receive.used()):
            yield WAIT
        got = bytes(engine.guest[0x6000 : 0x6000 + used[0][1]])
        sent = driver.transmit.used_index
        driver.write(got)
        while driver.transmit.used_index == sent:
            yield WAIT
        head = (head + 1) % 256
    engine.end(L.END_POWER_OFF)


def idle(engine: FakeEngine) -> Steps:
    """Says that it is there and does nothing."""
    engine.early_text(b"ready\r\n")
    while True:
        yield WAIT


def die(engine: FakeEngine) -> Steps:
    """Is killed, with all that a report shows."""
    box = engine.mailbox
    for name, value in {"switches": 3, "switch_head": 3, "rings_seen": 0b1010, "tsc_khz": 1000, "end_tsc": 50}.items():
        box[name] = value
    box["by_vector", 14] = 2
    box["by_vector", 31] = 1
    box["by_hypercall", L.LHCALL_FLUSH_TLB] = 1
    for n, (vector, value) in enumerate(((14, 0), (31, L.LHCALL_FLUSH_TLB), (14, 0))):
        record = box.sub("last", L.SWITCH_RECORD, n)
        record["tsc"], record["trapnum"], record["eax"] = 10 * n, vector, value
        record["cs"], record["eip"] = 0x61, 0xC0100000 + n
        record["cr2"], record["errcode"] = 0xDEAD0000, 2
    guest = box.sub("guest", L.REGISTERS)
    guest["cs"], guest["eip"], guest["eax"], guest["trapnum"], guest["eflags"] = 0x61, 0xC0100002, 0x1234ABCD, 14, 0x202
    box["guest_cr2"], box["guest_directory"] = 0xDEAD0000, 0x00501000
    engine.end(L.END_KILLED, b"wrote where it may not")
    yield AGAIN


def crash(engine: FakeEngine) -> Steps:
    """A bug of our own, in the middle of everything."""
    engine.early_text(b"ready\r\n")
    yield AGAIN
    raise RuntimeError("a bug")


def off(engine: FakeEngine) -> Steps:
    """Powers off with an open line."""
    engine.early_text(b"bye")
    engine.end(L.END_POWER_OFF)
    yield AGAIN


def lines(engine: FakeEngine) -> Steps:
    """Writes lines that end in a newline alone, and powers off."""
    engine.early_text(b"one\ntwo\n")
    engine.end(L.END_POWER_OFF)
    yield AGAIN


def restart(engine: FakeEngine) -> Steps:
    """Restarts."""
    engine.end(L.END_RESTART)
    yield AGAIN


if __name__ == "__main__":
    scripts = {script.__name__: script for script in (echo, idle, die, crash, off, lines, restart)}
    script = scripts[sys.argv[1]]
    vm_memory.IMAGES = Path(sys.argv[2])
    choice = SimpleNamespace(make=lambda size: FakeEngine(size, script), name="fake", why="a test asked for it")
    setattr(engines, "choose", lambda name: choice)  # noqa: B010
    setattr(images, "open_image", lambda path: IMAGE)  # noqa: B010
    del sys.argv[1:3]
    sys.exit(main())  # its own arguments, so its walls are there
