# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that mean harm, while they are traced and sampled as often as can be.

Read next: frames_kernel.S, host_kernel/core/trace.c; tests/lab/hostile_lab.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_lab import PERSONALITIES, SECONDS, SWITCHERS, harmless, image, run_image
from small_kernel import small_kernel
from trace_lab import Kept

from lguest_py.images.image import Personality
from lguest_py.launcher.result import End
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.vm_memory import Switcher
from lguest_py.trace.stream import Sample, Stream, Switch

MOST = 42  # addresses of a sample
RATE = 10_000
CHAIN = 0x00C0FFEE  # the return address in it
ROUNDS = {"tcg": 3_000_000, "kvm": 20_000_000}


def traced() -> tuple[Tracing, Kept]:
    tracing, kept = Tracing(), Kept()
    tracing.add(kept, RATE)
    return tracing, kept


@SWITCHERS
def test_frame_pointers_lead_nowhere(engine_name: str, switcher: Switcher) -> None:
    tracing, kept = traced()
    guest = small_kernel(Path(__file__).with_name("frames_kernel.S"), {"ROUNDS": ROUNDS[engine_name]})
    done = harmless(run_image(engine_name, guest, switcher=switcher, tracing=tracing))
    assert done.result.outcome.end is End.POWERED_OFF, done.result.outcome
    stream = Stream("it")
    found = [*stream.feed(bytes(kept.data)), *stream.end()]
    stacks = [each.addresses for each in found if isinstance(each, Sample)]
    assert {len(each) for each in stacks} >= {1, 2, MOST}
    assert max(map(len, stacks)) == MOST
    assert {address for each in stacks for address in each[1:]} == {CHAIN}
    assert stream.odd == 0


@pytest.mark.nightly("kvm")
@PERSONALITIES
@pytest.mark.parametrize("seed", range(3))
def test_random_guests_do_no_harm(engine_name: str, personality: Personality, seed: int) -> None:
    tracing, kept = traced()
    switcher: Switcher = "classic" if seed % 2 else "lean"
    guest = image(personality, seed, False)
    harmless(run_image(engine_name, guest, b"x" * 100, SECONDS, switcher=switcher, tracing=tracing))
    stream = Stream("it")
    found = [*stream.feed(bytes(kept.data)), *stream.end()]
    assert any(isinstance(each, Switch) for each in found)
    assert stream.odd == 0
