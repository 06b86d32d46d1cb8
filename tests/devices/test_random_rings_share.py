# SPDX-License-Identifier: GPL-2.0-or-later
"""Random rings for a share: tests/lab/devices/random_rings.py says of which kinds.  Each ring is a session of its
own."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from p9_client import encode, message
from random_rings import rings, throw

from lguest_py.devices.share import Share9p
from lguest_py.hardware import Share
from lguest_py.share.wire import FIELDS, NO_FID, T

NAMES = (b"f", b"d", b"s", b"new", b"..", b".", b"", b"/etc", b"a/b", b"x" * 300, b"user.a")
BITS = {"B": 8, "H": 16, "I": 32, "Q": 64}
START = (
    message(T.VERSION, 0xFFFF, encode("Is", (8192, b"9P2000.L"))),
    message(T.ATTACH, 1, encode("IIssI", (0, NO_FID, b"", b"", 0))),
    message(T.WALK, 1, encode("IIN", (0, 1, [b"f"]))),
    message(T.LOPEN, 1, encode("II", (1, 2))),
    message(T.WALK, 1, encode("IIN", (0, 2, [b"d"]))),
    message(T.LOPEN, 1, encode("II", (2, 0))),
)


def field(chance: Random, letter: str) -> object:
    if letter == "s":
        return chance.choice(NAMES)
    if letter == "N":
        return [chance.choice(NAMES) for _ in range(chance.randrange(4))]
    if letter == "I" and chance.random() < 0.6:
        return chance.randrange(6)
    return chance.choice((0, 1, chance.getrandbits(BITS[letter]), (1 << BITS[letter]) - 1))


class Shapes:
    """Requests of all kinds.  The first of a ring open the session, mostly."""

    def __init__(self) -> None:
        self._last: Random | None = None
        self._step = 0

    def __call__(self, chance: Random, queue: int) -> tuple[Sequence[bytes], Sequence[int]]:
        if chance is not self._last:
            self._last, self._step = chance, 0
        self._step += 1
        if self._step <= len(START) and chance.random() < 0.95:
            return [START[self._step - 1]], [100]
        kind = chance.choice(list(FIELDS))
        body = encode(FIELDS[kind], [field(chance, letter) for letter in FIELDS[kind]])
        request = [message(kind, chance.randrange(4), body)]
        if kind is T.WRITE:
            data = chance.randbytes(chance.choice((1, 100, 4000)))
            request = [message(kind, 1, body[:-4] + len(data).to_bytes(4, "little")), data]
        return request, [chance.choice((1, 11, 7, 160)), *chance.choice(([], [4096], [100, 4096]))]


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("readonly", [False, True])
def test_random_rings(request: pytest.FixtureRequest, tmp_path: Path, readonly: bool) -> None:
    folder = tmp_path / "shared"
    (folder / "d").mkdir(parents=True)
    (folder / "f").write_bytes(bytes(5000))
    os.symlink(tmp_path / "secret", folder / "s")
    (tmp_path / "secret").write_bytes(b"secret")
    count, before = rings(request) // 2, len(os.listdir("/proc/self/fd"))
    device = Share9p(Share(str(folder), "tag", readonly), lambda text: None)
    counts = throw(device, count, Shapes())
    assert counts["answered"] > count
    assert counts["guest error"] > count // 20
    device.close()
    for thread in threading.enumerate():
        if thread.name == "share":
            thread.join()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert sorted(os.listdir(tmp_path)) == ["secret", "shared"]
    assert (tmp_path / "secret").read_bytes() == b"secret"
    if readonly:
        assert sorted(os.listdir(folder)) == ["d", "f", "s"]
    shutil.rmtree(folder)
