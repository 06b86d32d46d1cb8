# SPDX-License-Identifier: GPL-2.0-or-later
"""Under CI a test of an engine that fails is tried once more, and the summary shows why it failed.

CI decides whether a change may land.  An engine there is an emulated machine on a shared one, and a whole run starts
thousands of them.  What fails twice fails the run, and so does what fails after BUDGET second tries.  Nightly runs,
runs by hand and tests without an engine have none.  Read next: tests/conftest.py; docs/decisions.md.
"""

from __future__ import annotations

import os

import pytest

BUDGET = 2  # for the tests outside the carrier, and for those in it


def pytest_configure(config: pytest.Config) -> None:
    """Keep to the budget (called by conftest.py)."""
    if config.option.max_suite_reruns is None:
        config.option.max_suite_reruns = BUDGET


def allow(config: pytest.Config, item: pytest.Item) -> None:
    """Let this test of an engine have a second try, where there are any."""
    if os.environ.get("CI") and not config.getoption("nightly"):
        item.add_marker(pytest.mark.flaky(reruns=1))


def summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show each failure that was followed by a second try."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"TRIED TWICE: {report.nodeid}", red=True)
        terminalreporter.line(report.longreprtext)
