# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the tests of the kvm engine where KVM is: here, or inside the carrier VM (tools/run-in-kvm).

The carrier runs one pytest with the same tests, beside the tests outside.  It writes each report to a file
that both sides share, and the pytest outside takes them from there as if it had run the tests itself: one run,
one count, and a failure in there fails here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMMAND = ROOT / "tools" / "run-in-kvm"
SECONDS, NIGHTLY_SECONDS = 2700, 4 * 3600  # for all of its tests
MARGIN = 100.0  # seconds without a report, after a test's own limit, that tell that the carrier hangs
STACKS = 300  # seconds after which pytest in there prints the stacks of a test


def inside() -> bool:
    """Whether this is the pytest in the carrier."""
    return bool(os.environ.get("RUN_IN_KVM"))


@cache
def kvm_serves() -> bool:
    """Whether the kvm engine works on the machine that this pytest runs on."""
    if inside():
        return True
    from lguest_py.engines.probe import probe_kvm

    return probe_kvm().usable


def add_option(group: pytest.OptionGroup) -> None:
    """The option by which the pytest in the carrier is told where to leave its reports."""
    group.addoption("--reports", metavar="FILE", help="also write each test's reports to FILE, a JSON object a line")


def pytest_configure(config: pytest.Config) -> None:
    """Write reports where asked (called by conftest.py)."""
    if config.getoption("reports"):
        config.pluginmanager.register(Reports(config, Path(config.getoption("reports"))))


def tried_again(reports: list[pytest.TestReport]) -> bool:
    """Whether the last of these is the end of a try that another one follows (second_try.py)."""
    number = getattr(reports[-1], "rerun", 0)
    return any(str(each.outcome) == "rerun" and getattr(each, "rerun", 0) == number for each in reports)


class Reports:
    """Writes every report to a file."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        self.config = config
        self.file = file.open("w", buffering=1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line for one phase of one test."""
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.file.write(json.dumps(data) + "\n")

    def pytest_unconfigure(self) -> None:
        """The end."""
        self.file.close()


class Carrier:
    """The pytest in the carrier, from outside."""

    def __init__(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self.config = config
        self.ids = [item.nodeid for item in items]
        self.limits: dict[str, float] = {}
        for item in items:  # pytest in the carrier keeps the time of a test
            marker = item.get_closest_marker("timeout")
            self.limits[item.nodeid] = float(marker.args[0] if marker else config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(0), append=False)
        self.reports: dict[str, list[pytest.TestReport]] = defaultdict(list)
        self.hung = ""  # the test that was run again
        self.start(self.ids)

    def start(self, ids: list[str]) -> None:
        """Start a carrier that runs these tests."""
        self.directory = tempfile.TemporaryDirectory(prefix="lguest-py-kvm-")
        self.out = Path(self.directory.name).resolve()
        self.taken = 0
        self.heard = time.monotonic()  # when the last report came
        arguments = self.out / "arguments"
        stacks = f"-ofaulthandler_timeout={STACKS}"
        arguments.write_text("\n".join(["--engines=kvm", stacks, f"--reports={self.out}/reports", *ids]))
        nightly = self.config.getoption("nightly")
        ends_with_us = ["setpriv", "--pdeathsig", "TERM", str(COMMAND)]
        command = [*ends_with_us, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"@{arguments}"]
        limit = NIGHTLY_SECONDS if nightly else SECONDS
        environment = {"TIMEOUT": str(limit), **os.environ, "OUT": str(self.out)}
        self.log = (self.out / "log").open("wb")
        self.process = subprocess.Popen(
            [*command, "--nightly"] if nightly else command,
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def end(self) -> None:
        """End it, however far it is."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.log.close()
        self.directory.cleanup()

    def take(self) -> None:
        """Read the reports that are new.  A line that is not yet whole waits for the next time."""
        file = self.out / "reports"
        if not file.exists():
            return
        with file.open("rb") as stream:
            stream.seek(self.taken)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self.taken += len(line)
                self.heard = time.monotonic()
                data = json.loads(line)
                if isinstance(data["longrepr"], list):  # where and why a test was skipped; JSON has no tuples
                    data["longrepr"] = tuple(data["longrepr"])
                report = self.config.hook.pytest_report_from_serializable(config=self.config, data=data)
                self.reports[report.nodeid].append(report)

    def wait(self, item: pytest.Item) -> list[pytest.TestReport]:
        """The reports of one test; one that says so when the carrier ended without it, or hangs in it.

        Pytest in there ends a test that takes too long, so silence means that the carrier itself hangs, as an emulated
        machine can.  Another one then runs this test again and those that are left; a second hang is a failure.
        """
        while True:
            ended = self.process.poll()
            self.take()
            got = self.reports[item.nodeid]
            if got and got[-1].when == "teardown" and not tried_again(got):
                return got
            if ended is not None:
                return [*got, self.failure(item, f"ended with status {ended} before this test did")]
            silence = time.monotonic() - self.heard
            if silence > self.limits[item.nodeid] + MARGIN:
                report = self.failure(item, f"hangs: no report for {silence:.0f} s")
                again, self.hung = not self.hung, item.nodeid
                self.end()
                if left := self.ids[self.ids.index(item.nodeid) + (not again) :]:
                    self.start(left)
                if not again:
                    return [*got, report]
                got.clear()
                sys.stderr.write(f"\n{item.nodeid} is run again: {report.longrepr}\n")
            time.sleep(0.05)

    def failure(self, item: pytest.Item, what: str) -> pytest.TestReport:
        """The report of a test for which the carrier failed."""
        text = f"the carrier {what}; its last lines:\n" + "\n".join(self.lines()[-60:])
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "teardown")

    def lines(self) -> list[str]:
        """What it printed."""
        log = self.out / "log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Instead of running a test of the kvm engine, take its reports."""
        if item.nodeid not in self.ids:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self.wait(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The carrier's own last lines."""
        try:
            self.process.wait(60)  # all reports are here: it has only to power off
        except subprocess.TimeoutExpired:
            terminalreporter.line("the carrier did not end")
        terminalreporter.section("the kvm engine, in the carrier")
        for line in self.lines()[-1:]:
            terminalreporter.line(line)
        if self.hung:
            terminalreporter.line(f"a carrier hung, and another took its place: {self.hung}", red=True)

    def pytest_unconfigure(self) -> None:
        """The end."""
        self.end()
