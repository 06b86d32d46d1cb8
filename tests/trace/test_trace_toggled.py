# SPDX-License-Identifier: GPL-2.0-or-later
"""A trace that is turned on and off all the time, while the Guest has breakpoints and has none.

Breakpoints change how the Host kernel enters the Guest (host_kernel/machine/second_return.c), as the trace does.
Read next: host_kernel/core/trace.c; tests/host_kernel/test_debug_registers.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

import pytest
from hostile_code import EAX, mov
from hostile_lab import SWITCHERS, harmless, image_of, run_image
from native_code import POWER_OFF

from lguest_py.errors import LguestError
from lguest_py.files.poller import READABLE, Poller
from lguest_py.launcher.result import End
from lguest_py.launcher.tracing import Reader, Tracing
from lguest_py.launcher.vm import Vm
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.trace.stream import Stream, Switch

ROUNDS = {"tcg": 150, "kvm": 150}
MOST = 5  # times
CODE = 0x160000
IN = b"\xe4\x61"  # a trap to the Host kernel
DR7_NONE, DR7_FIRST = 0x400, 0x401


class Kept:
    """A Sink."""

    room = 1 << 30

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data


class Toggler:
    """A Control that turns the trace on and off whenever it is asked, up to MOST times."""

    def __init__(self, tracing: Tracing) -> None:
        self.tracing, self.kept = tracing, list[Kept]()
        self._reader: Reader | None = None
        self._always, self._end = os.pipe()
        os.write(self._end, b"!")

    def prepare(self, vm: Vm) -> None:
        """See Control."""

    def begin(self, poller: Poller) -> None:
        """See Control."""
        self._poller = poller
        poller.set(self._always, READABLE)

    def service(self, ready: Collection[int], vm: Vm) -> None:
        """See Control."""
        if self._reader:
            self.tracing.drain()
            self.tracing.remove(self._reader)
            self._reader = None
        elif len(self.kept) == MOST:
            self._poller.set(self._always, 0)
            return
        else:
            self.kept.append(Kept())
            self._reader = self.tracing.add(self.kept[-1], 10_000)
        with contextlib.suppress(LguestError):  # it has ended meanwhile
            vm.retrace()

    def close(self) -> None:
        os.close(self._always)
        os.close(self._end)


def set_dr(number: int, value: int) -> bytes:
    return mov(EAX, value) + b"\x0f\x23" + bytes([0xC0 | number << 3])


@pytest.mark.nightly("kvm")
@SWITCHERS
def test_it_is_turned_on_and_off_while_there_are_breakpoints(engine_name: str, switcher: Switcher) -> None:
    again = b"\x4e\x0f\x85"  # dec esi; jnz
    body = set_dr(7, DR7_FIRST) + 20 * IN + set_dr(7, DR7_NONE) + 20 * IN
    loop = body + again + (-len(body) - len(again) - 4).to_bytes(4, "little", signed=True)
    code = b"\xfb" + set_dr(0, 0x00100000) + b"\xbe" + ROUNDS[engine_name].to_bytes(4, "little") + loop + POWER_OFF
    guest = image_of("native", mov(EAX, CODE) + b"\xff\xe0", b"\x0f\x0b", {CODE: code})
    tracing = Tracing()
    toggler = Toggler(tracing)
    try:
        done = harmless(run_image(engine_name, guest, switcher=switcher, tracing=tracing, control=toggler))
    finally:
        toggler.close()
    assert done.result.outcome.end is End.POWERED_OFF, done.result.outcome
    assert len(toggler.kept) > 2
    seen = 0
    for kept in toggler.kept:
        stream = Stream("it")
        found = list(stream.feed(bytes(kept.data)))
        assert stream.odd == 0
        seen += len([each for each in found if isinstance(each, Switch)])
    assert 0 < seen < done.result.snapshot.switches
