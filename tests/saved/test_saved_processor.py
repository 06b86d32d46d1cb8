# SPDX-License-Identifier: GPL-2.0-or-later
"""Every register of a Guest is as before in the machine that goes on for it.

Read next: state_kernel.S.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_kernel import small_kernel

from lguest_py import End, Machine, images
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
