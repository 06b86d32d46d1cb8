# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin that comes with lguest-py: Guests for tests.

    def test_it(lguest):
        guest = lguest("bzImage", initrd="initrd", command_line="console=hvc0")
        guest.console.expect("# ", timeout=120)

``lguest`` is a factory: it takes the arguments of lguest_py.Machine, and boots.  Every Guest ends with its test.
The report of a test that fails has the consoles of its Guests, and how those ended that did not end well.
Guests share nothing, so tests may run in parallel (pytest-xdist).

``--lguest-engine=auto|kvm|tcg`` is the engine of Guests whose test names none.  ``@pytest.mark.needs_kvm`` marks a test
that makes sense on KVM only.  Where KVM does not work it is skipped.  With CI=true in the environment it fails instead,
so that nobody overlooks a CI machine that lost its KVM.

Read next: lguest_py/machine.py.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lguest_py.engines.probe import KvmProbe
    from lguest_py.machine import Machine

GUESTS = pytest.StashKey["list[Machine]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --lguest-engine."""
    parser.getgroup("lguest-py").addoption(
        "--lguest-engine", choices=("auto", "kvm", "tcg"), default="auto", help="what runs the fixture lguest's Guests"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker needs_kvm."""
    line = "needs_kvm: needs a KVM that can serve; without one it fails if CI=true, else skips"
    config.addinivalue_line("markers", line)


@functools.cache
def _kvm() -> KvmProbe:
    from lguest_py.engines.probe import probe_kvm

    return probe_kvm()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test marked needs_kvm where KVM does not work, before any fixture."""
    if item.get_closest_marker("needs_kvm") and not _kvm().usable:
        reason = f"KVM cannot serve: {_kvm().why}"
        if os.environ.get("CI", "").lower() in ("", "0", "false"):
            pytest.skip(reason)
        pytest.fail(f"{reason} (skipped where CI is not set)", pytrace=False)


@pytest.fixture
def lguest(request: pytest.FixtureRequest) -> Iterator[Callable[..., Machine]]:
    """A factory: ``lguest(image, **options)`` boots a Guest (lguest_py.Machine), which ends with the test."""
    from lguest_py.machine import Machine

    guests: list[Machine] = request.node.stash.setdefault(GUESTS, [])
    with ExitStack() as stack:

        def boot(image: str | os.PathLike[str] | None = None, **options: Any) -> Machine:
            options.setdefault("engine", request.config.getoption("--lguest-engine"))
            guest = stack.enter_context(Machine(image, **options))
            guests.append(guest)
            return guest

        yield boot


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the consoles of a test that failed, and the ends of its Guests."""
    report = yield
    if report.failed:
        guests: list[Machine] = item.stash.get(GUESTS, [])
        for number, guest in enumerate(guests, 1):
            report.sections.append((f"console of Guest {number}", guest.console.output))
            if guest.result and guest.result.outcome.status:
                report.sections.append((f"report of Guest {number}", guest.result.report().short()))
    return report
