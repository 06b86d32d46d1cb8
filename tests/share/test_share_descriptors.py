# SPDX-License-Identifier: GPL-2.0-or-later
"""The limit of descriptors: how much of it shares may have, and that the rest of the Launcher keeps its own."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from p9_client import number

from lguest_py.share.descriptors import RESERVE, WANTED, Budget, raise_limit

GREEDY = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from p9_client import Client, through
from ring_lab import Rig
from lguest_py.devices.share import Share9p
from lguest_py.hardware import Share
clients = []
for n in range(2):
    client = Client(through(Rig(Share9p(Share(sys.argv[1], f"tag{n}"), print))))
    client.attach()
    clients.append(client)
errors = set()
for n in range(100):
    for client in clients:
        try:
            client.at(n + 1, b"%d" % n)
            client.lopen(n + 1)
        except OSError as error:
            errors.add(error.errno)
print(errors, len([os.open("/", os.O_RDONLY) for _ in range(16)]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "limit"),
    [(64, 64, 32), (1023, 1023, 511), (1024, 4096, 4096 - RESERVE), (5000, 5000, 5000 - RESERVE)],
)
def test_what_shares_may_have_of_the_limit(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, limit: int) -> None:
    now = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: now.append(limits))
    assert raise_limit() == limit
    assert now[-1] == (hard, hard)


@pytest.mark.parametrize(("soft", "hard"), [(1024, resource.RLIM_INFINITY), (1024, 1 << 20)])
def test_the_limit_is_raised_no_further_than_is_useful(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
    now = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: now.append(limits))
    assert raise_limit() == WANTED - RESERVE
    assert now[-1] == (WANTED, hard)


def test_a_high_limit_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: unlimited)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: pytest.fail("it was changed"))
    assert raise_limit() == WANTED - RESERVE


def test_a_budget_is_exact() -> None:
    budget = Budget(3)
    budget.take(2)
    assert number(lambda: budget.take(2)) == errno.ENFILE
    budget.check()
    budget.take()
    assert number(budget.check) == errno.ENFILE
    budget.give(3)
    assert budget.used == 0


def test_greedy_guests_leave_descriptors_for_the_rest(tmp_path: Path) -> None:
    for n in range(100):
        (tmp_path / f"{n}").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", GREEDY, tmp_path],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == f"{{{errno.ENFILE}}} 16\n", done.stderr
