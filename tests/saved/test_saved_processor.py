# SPDX-License-Identifier: GPL-2.0-or-later
"""Every register of a Guest is as before in the machine that goes on for it.

Read next: state_kernel.S.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_kernel import small_kernel

from lguest_py import End, Machine, images
from lguest_py.engines import cpuid
from lguest_py.launcher.vm import Vm
from lguest_py.launcher.vm_memory import Switcher

SOURCE = Path(__file__).resolve().with_name("state_kernel.S")
PATIENCE = 300.0  # the carrier is slow


@pytest.mark.parametrize("switcher", ["lean", "classic"])
def test_every_register_is_as_before(
    engine_name: Any, switcher: Switcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = small_kernel(SOURCE, {})
    monkeypatch.setattr(images, "open_image", lambda path: image)
    file = tmp_path / "saved"
    with Machine("kernel", engine=engine_name, memory="16M", switcher=switcher) as machine:
        machine.console.expect("r\n", PATIENCE)
        machine.save(file)
        check(machine)
    for _ in range(2):
        with Machine(saved=file, engine=engine_name) as machine:
            check(machine)


def check(machine: Machine) -> None:
    """Let it look."""
    machine.console.send(b"x")
    result = machine.wait(PATIENCE)
    assert result.outcome.end is End.POWERED_OFF, f"check {result.snapshot.guest['eax']}: {result.outcome}"


def saved_tiny_guest(engine_name: Any, file: Path) -> None:
    with Machine(engine=engine_name, memory="16M") as machine:
        machine.console.expect("lguest> ", PATIENCE)
        machine.save(file)


def refusal(engine_name: Any, file: Path) -> tuple[int, str]:
    """Exit status and reason of a run that cannot go on."""
    with Machine(saved=file, engine=engine_name) as machine:
        result = machine.wait(PATIENCE)
    assert result.outcome.end is End.OTHER_PROCESSOR
    return result.status, result.outcome.reason


@pytest.mark.parametrize("missing", ["popcnt", "sse4.1"])
def test_a_processor_that_lacks_a_feature_is_refused(
    engine_name: Any, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one that has them all the same file goes on."""
    file = tmp_path / "saved"
    saved_tiny_guest(engine_name, file)
    (feature,) = (each for each in cpuid.FEATURES if each.qemu == missing)
    less = tuple(each for each in cpuid.FEATURES if each != feature)
    allowed = {**cpuid.ALLOWED, feature.register: cpuid.ALLOWED[feature.register] & ~(1 << feature.bit)}
    with monkeypatch.context() as lacking:
        lacking.setattr(cpuid, "FEATURES", less)
        lacking.setattr(cpuid, "ALLOWED", allowed)
        status, reason = refusal(engine_name, file)
    assert (status, reason) == (2, "it lacks a feature of the one where the Guest was saved")
    with Machine(saved=file, engine=engine_name) as machine:
        machine.console.sendline("echo goes on")
        machine.console.expect("\ngoes on", PATIENCE)


@pytest.mark.parametrize(("times", "fits"), [(1.01, True), (1.05, False), (0.95, False)])
def test_a_clock_of_another_rate_is_refused(
    engine_name: Any, times: float, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, restore = tmp_path / "saved", Vm.restore
    saved_tiny_guest(engine_name, file)

    def elsewhere(self: Vm, load: Any, state: Any, tsc: int, tsc_khz: int, loaded: Any) -> None:
        rate = self.engine.facts.tsc_khz or tsc_khz
        assert rate
        self.engine.facts = replace(self.engine.facts, tsc_khz=round(rate * times))
        restore(self, load, state, tsc, tsc_khz, loaded)

    monkeypatch.setattr(Vm, "restore", elsewhere)
    if fits:
        with Machine(saved=file, engine=engine_name) as machine:
            machine.console.sendline("echo goes on")
            machine.console.expect("\ngoes on", PATIENCE)
    else:
        reason = "its time-stamp counter has another rate than where the Guest was saved"
        assert refusal(engine_name, file) == (2, reason)
