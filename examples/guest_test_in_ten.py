# SPDX-License-Identifier: GPL-2.0-or-later
"""A test with a Guest in ten lines, by the pytest plugin that comes with lguest-py.

Run it: pytest examples/guest_test_in_ten.py
Read next: lguest_py/pytest_plugin.py, and lguest_py/machine.py for what else a Guest can be asked.
"""

from collections.abc import Callable

from lguest_py import Machine


def test_the_tiny_guest_counts_its_memory(lguest: Callable[..., Machine]) -> None:
    guest = lguest(memory="16M")
    guest.console.expect("lguest> ")
    guest.console.sendline("memory")
    guest.console.expect("RAM 16384 KiB")
    guest.console.sendline("poweroff")
    assert guest.wait(timeout=60).status == 0
