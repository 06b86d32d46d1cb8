# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the console gives input, on a clock of the test's."""

from __future__ import annotations

from lguest_py.devices.input_pace import CRUMB, LEAST, LONGEST, MOST, QUIET, InputPace

SLICE = 0.0005


class Guest:
    """What it does with its time: it echoes its input first, and then its other work, as a Linux does."""

    def __init__(self, echo: float, other: bool) -> None:
        self.now, self.idles = 0.0, 0
        self.pace = InputPace(lambda: self.idles, lambda: self.now)
        self._echo, self._other = echo, other  # seconds for a character; whether it has other work
        self.backlog = self.taken = 0
        self.worked = 0.0  # seconds of other work

    def run(self, seconds: float) -> None:
        """Run under an input that never ends."""
        until = self.now + seconds
        while self.now < until:
            if (room := self.pace.room) > 0:
                self.pace.gave(room)
                self.taken += room
                self.backlog += room if self._echo else 0
            if self.backlog:
                self.now += self._echo
                self.backlog -= 1
                self.pace.wrote()
                continue
            self.now += SLICE
            if self._other:
                self.worked += SLICE
            else:
                self.idles += 1


def test_a_flood_leaves_time_for_other_work() -> None:
    """With a fast echo, and with one that a busy computer makes slow."""
    for echo in (0.00005, 0.0005, 0.005, 0.02):
        guest = Guest(echo, other=True)
        guest.run(100)
        assert guest.worked > 20, echo
        assert guest.taken > 500, echo


def test_a_guest_that_reads_in_silence_is_not_slowed_down() -> None:
    guest = Guest(0, other=False)
    guest.run(0.2)
    assert guest.taken > 0.9 * MOST * 0.2 / SLICE


def test_a_guest_that_echoes_and_is_idle_gets_all_that_it_can_echo() -> None:
    guest = Guest(0.0001, other=False)
    guest.run(10)
    assert guest.taken > 0.8 * 10 / 0.0001


def test_a_guest_with_other_work_gets_some_at_a_time() -> None:
    guest = Guest(0, other=True)
    guest.run(2)
    assert 0.9 * 2 / QUIET * LEAST < guest.taken <= 2 / QUIET * LEAST


def test_a_guest_that_writes_without_end_hears_something_too() -> None:
    now = 0.0
    pace = InputPace(lambda: 0, lambda: now)
    taken = []
    for _ in range(4000):
        now += 0.001
        pace.wrote()
        if (room := pace.room) > 0:
            pace.gave(room)
            taken.append((now, room))
    assert [room for _, room in taken] == [CRUMB] * len(taken)
    assert 3 <= len(taken) <= 4 / LONGEST


def test_a_key_is_given_at_once() -> None:
    """What the Guest has room for waits for nothing."""
    guest = Guest(0.001, other=True)
    guest.run(0.2)
    for _ in range(10):
        while guest.pace.room <= 0:
            guest.now = guest.pace.deadline
        guest.pace.gave(1)
        assert guest.pace.room > 0
