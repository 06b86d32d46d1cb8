# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers that lie, in a Guest, on both buses: the tiny Guest's commands ``abuse``, ``fuzz`` and ``poke``.

A device whose driver broke a rule needs a reset on PCI, and then works again; on the device page the Guest is killed
with the reason.  Either way the Launcher is sound, and the next boot finds everything as it was.
Read next: guest_kernel/faults/abuse.c.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from guest import Run, boot
from ping_lab import Station

from lguest_py import Disk, Entropy, Network, Share
from lguest_py.devices import net
from lguest_py.hardware import Hardware
from lguest_py.launcher.result import End
from lguest_py.networks.stream import Stream

SECTORS = 256
# What abuse must break, and what the Guest's death on the device page is said to be; None: that bus has no such thing.
BROKEN = {
    "head": r"descriptor 256 in a table of 256",
    "index": r"available index moved 257 beyond a ring of 256",
    "loop": r"loops",
    "next": r"descriptor 256 in a table of 256",
    "beyond": r"beyond the Guest's memory",
    "edge": r"beyond the Guest's memory",
    "high": r"beyond the Guest's memory",
    "wrap": r"beyond the Guest's memory",
    "bar": r"beyond the Guest's memory",
    "huge": r"beyond the Guest's memory",
    "nothing": r"no bytes",
    "order": r"to read after one to write",
    "indirect": r"indirect descriptor",
    "total": r"more bytes than the Guest's memory",
    "ring-edge": None,
    "ring-bar": None,
    "ring-high": None,
    "ring-odd": None,
    "ring-size": None,
    "early-ok": None,
    "changed": None,
}
ALLOWED = {  # what a driver may do on PCI
    "no-queue": r"neither a ring nor a device descriptor",
    "features": r"accepted features 0xffffffff",
    "reset": None,
    "selected": None,
}
PAGE = {name: reason for name, reason in (BROKEN | ALLOWED).items() if reason}
PCI_ONLY = {"ring-edge", "ring-bar", "ring-high", "ring-odd", "ring-size", "early-ok", "changed", "selected"}
KINDS = ("console", "block", "net", "9p", "entropy")


class Lab:
    """A machine with a device of each kind, whose back ends can be looked at afterwards."""

    def __init__(self, folder: Path) -> None:
        self.link: Stream | None = None
        self.image, self.shared = folder / "disk.img", folder / "shared"
        self.content = random.Random(3).randbytes(SECTORS * 512)
        self.image.write_bytes(self.content)
        self.shared.mkdir()
        (self.shared / "hello").write_text("hello\n")

    def boot(self, engine: str, bus: str, commands: str, *kinds: str) -> Run:
        """Run commands with these devices; the console is always there."""
        makers: dict[str, Hardware] = {
            "block": Disk(str(self.image)),
            "net": Network(),
            "9p": Share(str(self.shared)),
            "entropy": Entropy(),
        }
        devices = [makers[kind] for kind in kinds if kind in makers]
        with Station() as station:
            self.link = station.link
            return boot(engine, f"run={commands}", devices=devices, bus=bus)  # type: ignore[arg-type]

    def check(self, engine: str, bus: str, written: bool = False) -> None:
        """The next boot is good."""
        run = self.boot(engine, bus, "read 5;cat hello;random 4;ip 10.9.8.7;ping 10.9.8.1 1;abuse reset 1", *KINDS)
        shown = b"".join(bytes.fromhex(line[5:52]) for line in run.lines if re.match(r"[0-9a-f]{3}  ", line))
        assert shown == self.image.read_bytes()[5 * 512 : 6 * 512]
        assert written or self.image.read_bytes() == self.content
        assert {"hello", "1 of 1 answered", "abuse reset: the device goes on"} <= set(run.lines)
        assert run.end is End.POWERED_OFF


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab(tmp_path)
    monkeypatch.setattr(net, "open_link", lambda spec, number, say: lab.link)
    return lab


def number(bus: str, kind: str) -> int:
    """The place of a device in the Guest's list when there is one beside the console, which is first on PCI."""
    if kind == "console":
        return 0
    return 1 if bus == "pci" else 0


def test_the_list_has_what_is_tested_here(engine_name: str, lab: Lab) -> None:
    run = lab.boot(engine_name, "pci", "abuse")
    names = {line.split()[0] for line in run.lines if line.startswith("  ")}
    assert names == {*BROKEN, *ALLOWED}


@pytest.mark.parametrize("kind", KINDS)
def test_on_pci_a_device_needs_a_reset_and_works_again(engine_name: str, lab: Lab, kind: str) -> None:
    place = number("pci", kind)
    commands = ";".join(f"abuse {name} {place}" for name in (*BROKEN, *ALLOWED, "reset"))
    run = lab.boot(engine_name, "pci", f"{commands};echo alive", kind)
    found = dict(re.findall(r"abuse (\S+): the device (needed a reset|goes on)$", run.text, re.M))
    assert found == dict.fromkeys(BROKEN, "needed a reset") | dict.fromkeys(ALLOWED, "goes on")
    assert "alive" in run.lines
    assert run.end is End.POWERED_OFF
    assert len(run.said) == 1  # one line for the user, however often
    assert "driver broke a rule" in run.said[0]
    lab.check(engine_name, "pci")


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("name", PAGE)
def test_on_the_device_page_the_guest_is_killed(engine_name: str, lab: Lab, name: str) -> None:
    run = lab.boot(engine_name, "page", f"abuse {name} 0;echo alive", "block")
    assert run.end is End.KILLED
    assert re.search(PAGE[name], run.reason)
    assert "alive" not in run.lines
    if name == "total":  # once is enough
        lab.check(engine_name, "page")


@pytest.mark.parametrize("kind", KINDS)
def test_on_the_device_page_each_kind_is_killed(engine_name: str, lab: Lab, kind: str) -> None:
    run = lab.boot(engine_name, "page", "abuse loop 0;echo alive", kind)
    assert run.end is End.KILLED
    assert "loops" in run.reason
    assert "alive" not in run.lines


def at_random(engine: str, lab: Lab, kind: str, seeds: range) -> None:
    """Random rings, then random registers, then a good boot."""
    place = number("pci", kind)
    commands = ";".join(f"{command} {seed} {place}" for command in ("fuzz", "poke") for seed in seeds)
    run = lab.boot(engine, "pci", f"{commands};echo ;echo alive", kind)
    rounds = re.findall(r"fuzz: 100 rounds, (\d+) resets$", run.text, re.M)
    assert len(rounds) == len(seeds)
    assert all(1 < int(resets) < 90 for resets in rounds)  # good rings and bad ones
    assert run.text.count("poke: 500 accesses") == len(seeds)
    assert "alive" in run.lines
    assert run.end is End.POWERED_OFF
    lab.check(engine, "pci", written=kind == "block")


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize("kind", KINDS)
def test_random_rings_and_registers(engine_name: str, lab: Lab, kind: str) -> None:
    at_random(engine_name, lab, kind, range(2))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_rings_and_registers(engine_name: str, lab: Lab, kind: str) -> None:
    at_random(engine_name, lab, kind, range(100, 120))


def test_random_rings_on_the_device_page(engine_name: str, lab: Lab) -> None:
    run = lab.boot(engine_name, "page", "fuzz 1 0;fuzz 2 0;fuzz 3 0;echo alive", "block")
    assert run.end is End.KILLED
    assert run.reason.startswith("disk ")
    lab.check(engine_name, "page", written=True)
