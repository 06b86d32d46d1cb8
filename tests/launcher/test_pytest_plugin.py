# SPDX-License-Identifier: GPL-2.0-or-later
"""The pytest plugin, as another project's tests would use it: each test here runs a pytest of its own."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.nightly("kvm")
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


BOOTED = """
import pytest
boots = []
def ready(guest):
    guest.console.expect("lguest> ", 300)
    guest.console.sendline("echo once")
    guest.console.expect("\\nonce", 300)
    boots.append(guest)
@pytest.mark.parametrize("number", range(3))
def test_each_has_its_own(lguest_booted, number):
    guest, other = (lguest_booted(until=ready, memory="16M") for _ in range(2))
    assert "once" not in guest.console.output
    for each, word in (guest, "first"), (other, "second"):
        each.console.sendline(f"echo {word} {number}")
        each.console.expect(f"\\n{word} {number}", 300)
    assert guest.engine == "ENGINE"
    assert len(boots) == 1
def test_other_arguments_are_another_guest(lguest_booted):
    lguest_booted(until=ready, memory="24M").console.sendline("poweroff")
    assert len(boots) == 2
def test_it_ends_like_any(lguest_booted):
    guest = lguest_booted(until="lguest> ", memory="16M")
    guest.console.sendline("poweroff")
    assert guest.wait(300).status == 0
"""
NEVER_BOOTED = """
import pytest
@pytest.mark.parametrize("number", range(2))
def test_it(lguest_booted, number):
    lguest_booted(until="lguest> ", command_line="run=fault bad-hypercall")
"""


@pytest.mark.nightly("kvm")
def test_guests_that_have_booted(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, engine_name: str, tmp_path: Path
) -> None:
    pytester.makepyfile(BOOTED.replace("ENGINE", engine_name))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = pytester.runpytest_subprocess("-W", "error", f"--lguest-engine={engine_name}")
    done.assert_outcomes(passed=5)
    assert not list(tmp_path.glob("lguest-py-booted-*"))


@pytest.mark.nightly("kvm")
def test_a_boot_that_fails_is_not_tried_for_each_test(pytester: pytest.Pytester, engine_name: str) -> None:
    pytester.makepyfile(NEVER_BOOTED)
    done = pytester.runpytest_subprocess(f"--lguest-engine={engine_name}")
    done.assert_outcomes(failed=2)
    output = done.stdout.str()
    assert "the Guest did not boot, in an earlier test: ExpectError: the Guest was killed: " in output
    assert output.count("console of Guest 1") == 1
