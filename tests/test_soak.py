# SPDX-License-Identifier: GPL-2.0-or-later
"""Long work with a real Linux: many boots in a row, and many rounds of work without a kernel message.

Read next: tests/linux_lab.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from linux_lab import PATIENT, Linux

if TYPE_CHECKING:
    from conftest import RealLinux

BOOTS = {"tcg": 20, "kvm": 5}
SECONDS = {"tcg": 1800, "kvm": 240}


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_boots_in_a_row(engine_name: str, linux: RealLinux) -> None:
    for _ in range(BOOTS[engine_name]):
        guest = Linux(engine_name, linux.bzimage, linux.initrd)
        try:
            guest.to_the_shell()
            assert "42" in guest.ask("echo $((6 * 7))").split("\n")  # and maybe a kernel's message
            guest.type(b"exit\n")
            data = guest.finish()
        finally:
            guest.close()
        assert (data["end"], data["status"]) == ("powered off", 0)


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
def test_work_for_a_long_time_without_a_kernel_message(engine_name: str, linux: RealLinux) -> None:
    seconds = SECONDS[engine_name]
    words = ("quiet", "run=soak", f"secs={seconds}", *PATIENT.split())  # what Linux does not know, init gets
    guest = Linux(engine_name, linux.bzimage, linux.initrd, *words, limit=5 * seconds)
    try:
        guest.wait_for(re.compile(rb"\nTEST soak EXIT \d+\r\n"), patience=5 * seconds)
        data = guest.finish()
    finally:
        guest.close()
    loop = re.search(r"\nWORK LOOP PASSED fails=0 rounds=(\d+)\n", guest.text)
    assert loop, guest.text[-3000:]
    assert int(loop[1]) > 2
    assert "\nDMESG CLEAN\n" in guest.text
    assert "\nTEST soak EXIT 0\n" in guest.text
    assert (data["end"], data["status"]) == ("powered off", 0)
