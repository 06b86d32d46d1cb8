# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin that comes with lguest-py: Guests for tests.

    def test_it(lguest):
        guest = lguest("bzImage", initrd="initrd", command_line="console=hvc0")
        guest.console.expect("# ", timeout=120)

``lguest`` is a factory: it takes the arguments of lguest_py.Machine, and boots.  Every Guest ends with its test.
The report of a test that fails has the consoles of its Guests, and how those ended that did not end well.
Guests share nothing, so tests may run in parallel (pytest-xdist).

``lguest_booted`` does the same with a Guest that has booted before: the first call of a session boots it and saves it,
and each call, the first too, makes a copy that goes on from there.  So each test has a fresh Guest at once:

    def test_it(lguest_booted):
        guest = lguest_booted("debian-6.1-686", until="/ # ")
        guest.console.sendline("uname -m")
        guest.console.expect("i686", timeout=20)

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
UNTIL_BOOTED = 600.0  # seconds


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


class _Booted:
    """The Guests of a session that were booted and saved."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[object, str] = {}
        self._failures: dict[object, str] = {}

    def file(self, key: object, boot: Callable[[str], None]) -> str:
        """The saved file of this key; ``boot`` writes it the first time.  A boot that failed is not tried again."""
        if why := self._failures.get(key):
            pytest.fail(f"the Guest did not boot, in an earlier test: {why}", pytrace=False)
        if key not in self._files:
            path = os.path.join(self._folder, f"{len(self._files)}.saved")
            try:
                boot(path)
            except Exception as error:
                self._failures[key] = f"{type(error).__name__}: {error}"
                raise
            self._files[key] = path
        return self._files[key]


@pytest.fixture(scope="session")
def _lguest_saved() -> Iterator[_Booted]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="lguest-py-booted-") as folder:
        yield _Booted(folder)


@pytest.fixture
def lguest_booted(
    request: pytest.FixtureRequest, lguest: Callable[..., Machine], _lguest_saved: _Booted
) -> Callable[..., Machine]:
    """A factory: ``lguest_booted(image, until=…, **options)`` is a Guest that has booted, as a copy of its own.

    ``until``: what the console must have shown (within UNTIL_BOOTED seconds) before the Guest is saved, or a function
    of a module that gets the Machine and prepares it.  ``options``: as for ``lguest``; ``timeout`` is each copy's.
    The copy's console starts empty.  One boot serves all calls with the same arguments in a session (with pytest-xdist:
    in a worker).  A Guest that was copied cannot reboot, and a disk of it must be readonly or have an overlay.
    """

    def copy(
        image: str | os.PathLike[str] | None = None,
        *,
        until: str | Callable[[Machine], object],
        timeout: float | None = None,
        **options: Any,
    ) -> Machine:
        def boot(path: str) -> None:
            guest = lguest(image, **options)
            if callable(until):
                until(guest)
            else:
                guest.console.expect(until, UNTIL_BOOTED)
            guest.save(path)
            guest.close()
            request.node.stash[GUESTS].remove(guest)  # a report is about the copy

        key = (None if image is None else os.fspath(image), until, repr(sorted(options.items())))
        engine = {"engine": options["engine"]} if "engine" in options else {}
        return lguest(saved=_lguest_saved.file(key, boot), timeout=timeout, **engine)

    return copy


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
