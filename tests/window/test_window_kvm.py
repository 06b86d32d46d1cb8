# SPDX-License-Identifier: GPL-2.0-or-later
"""The window between the worlds on KVM: an NMI at every instruction of both Switchers, in both builds, changes nothing.

Each instruction has one with the Host's page tables and stack and one with the Guest's (window_kvm.py).
On tcg, and for interrupts and faults: test_window.py.
"""

from __future__ import annotations

import pytest
from hostile_lab import harmless, image_of, run_image, symbols
from window_lab import IRET, instructions

from lguest_py.launcher.vm_memory import Switcher
from lguest_py.shared_memory import _layouts as L

TRAPS = b"\x0f\xa2\xe4\x61" * 2  # cpuid, in
IRETS = {"lean": "switcher_lean_iret", "classic": "switcher_iret"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine_name", ["kvm"])
@pytest.mark.parametrize(
    ("switcher", "pae"),
    [
        pytest.param("lean", False, id="lean-lguest"),
        *(
            pytest.param(switcher, pae, id=f"{switcher}-{'pae' if pae else 'lguest'}", marks=pytest.mark.nightly)
            for switcher, pae in (("lean", True), ("classic", False), ("classic", True))
        ),
    ],
)
def test_an_nmi_at_every_instruction_changes_nothing(
    engine_name: str, pae: bool, switcher: Switcher, capsys: pytest.CaptureFixture[str]
) -> None:
    from window_kvm import NmiKvm

    code = instructions(switcher, pae)
    iret = symbols(pae)[IRETS[switcher]]
    assert code[iret] == IRET

    class Here(NmiKvm):
        came, wrong_at = {}, []

    Here.stops = {"Host": L.SWITCHER_BASE, "Guest": iret}
    Here.pae, Here.wanted = pae, sorted(code)
    guest = image_of("native" if pae else "lguest", TRAPS, pae=pae)
    run = run_image(engine_name, guest, switcher=switcher, engine=Here)
    with capsys.disabled():
        counts = ", ".join(f"{len(seen)} with the {world}'s state" for world, seen in Here.came.items())
        print(f"\nwindow {switcher}, {'pae' if pae else 'lguest'}: {len(code)} instructions in the ELF, NMIs: {counts}")
    harmless(run)
    assert not Here.wrong_at, (len(Here.wrong_at), Here.wrong_at[:3])
    assert Here.came == {"Host": set(code), "Guest": set(code)}
