# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin, as another project's tests would use it: each test here runs a pytest of its own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

KVM = """
import pytest
from lguest_py.engines import probe
probe.probe_kvm = lambda: probe.KvmProbe({usable}, "kvm_test", "because a test says so")
"""
NEEDS_KVM = """
import pytest
@pytest.fixture
def expensive():
    raise RuntimeError("set up in vain")
@pytest.mark.needs_kvm
def test_it(expensive): pass
"""
GUESTS = """
def test_prompt(lguest):
    lguest(memory="16M").console.expect("lguest> ", 300)
def test_two(lguest):
    first, second = lguest(), lguest()
    for guest in first, second:
        guest.console.expect("lguest> ", 300)
    first.console.sendline("echo first")
    second.console.sendline("echo second")
    first.console.expect("\\nfirst", 300)
    second.console.expect("\\nsecond", 300)
    assert "second" not in first.console.output
def test_power_off(lguest):
    result = lguest(command_line="run=echo off").wait(300)
    assert (result.status, result.engine) == (0, "ENGINE")
def test_nothing_is_left():
    import threading
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lguest-py")]
"""
FAILING = """
def test_fails(lguest):
    guest = lguest()
    guest.console.expect("tiny Guest", 300)
    assert guest is None
def test_dies(lguest):
    lguest(command_line="run=fault bad-hypercall").console.expect("nothing like this", 300)
"""


@pytest.mark.nightly("kvm")
def test_guests_end_with_their_test(pytester: pytest.Pytester, engine_name: str) -> None:
    pytester.makepyfile(GUESTS.replace("ENGINE", engine_name))
    done = pytester.runpytest_subprocess("-W", "error", "--strict-markers", f"--lguest-engine={engine_name}")
    done.assert_outcomes(passed=4)


@pytest.mark.nightly("kvm")
def test_tests_may_run_in_parallel(pytester: pytest.Pytester, engine_name: str) -> None:
    pytester.makepyfile(GUESTS.replace("ENGINE", engine_name))
    done = pytester.runpytest_subprocess("-n", "2", "-W", "error", f"--lguest-engine={engine_name}")
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["*2 workers*"])


def test_a_test_that_fails_shows_the_consoles(pytester: pytest.Pytester, engine_name: str) -> None:
    pytester.makepyfile(FAILING)
    done = pytester.runpytest_subprocess(f"--lguest-engine={engine_name}")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(
        ["*console of Guest 1*", "lguest-py tiny Guest, ring 1", "*ExpectError: the Guest was killed: *"]
    )
    done.stdout.fnmatch_lines(
        [
            *("*report of Guest 1*", "the Guest was killed: unknown hypercall 99*", "Guest registers, *"),
            *("backtrace:", "*bad_hypercall+*"),
        ]
    )
    done.stdout.no_fnmatch_line("the Guest was ended*")  # it ran when its test failed


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", "failed"), ("1", "failed"), ("", "skipped"), ("0", "skipped"), ("false", "skipped")]
)
def test_without_kvm_needs_kvm_fails_under_ci_and_skips_elsewhere(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str
) -> None:
    pytester.makeconftest(KVM.format(usable=False))
    pytester.makepyfile(NEEDS_KVM)
    monkeypatch.setenv("CI", ci)
    done = pytester.runpytest_subprocess("-ra", "--strict-markers")
    short = {"failed": "ERROR", "skipped": "SKIPPED"}[outcome]
    done.stdout.fnmatch_lines([f"{short}*KVM cannot serve: because a test says so*"])
    # Said before any fixture was made: a failure of the set-up is an error to pytest.
    counts = {"errors": 1} if outcome == "failed" else {"skipped": 1}
    done.assert_outcomes(**counts)


def test_with_kvm_needs_kvm_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest(KVM.format(usable=True))
    pytester.makepyfile(NEEDS_KVM.replace("raise", "return"))
    monkeypatch.setenv("CI", "true")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.nightly("kvm")
def test_the_probe_is_the_engines_own(pytester: pytest.Pytester, engine_name: str) -> None:
    pytester.makepyfile(NEEDS_KVM.replace("raise", "return"))
    done = pytester.runpytest_subprocess()
    counts = done.parseoutcomes()
    assert counts.get("passed") or (engine_name == "tcg" and (counts.get("skipped") or counts.get("errors")))
