# SPDX-License-Identifier: GPL-2.0-or-later
"""The tiny Guest: its own tests, its prompt and its ends."""

from __future__ import annotations

import re

import pytest
from guest import MIB, Run, boot

from lguest_py.launcher.result import End
from lguest_py.launcher.vm_memory import Switcher

BANNER = "lguest-py tiny Guest, ring 1\nits programs, ring 3\n"
PROMPT = "lguest> "
MOST_TESTS = 190  # a Guest that has lost its tests must not pass


@pytest.mark.parametrize("switcher", ["classic", "lean"])
def test_every_hypercall_and_trap_from_the_inside(engine_name: str, switcher: Switcher) -> None:
    run = boot(engine_name, "run=test", switcher=switcher)
    failed = [line for line in run.lines if line.startswith("FAIL")]
    assert not failed
    passed = [line for line in run.lines if line.startswith("ok ")]
    assert len(set(passed)) == len(passed) > MOST_TESTS
    assert run.lines[-1] == f"{len(passed)} passed, 0 failed"
    assert run.end is End.POWERED_OFF
    assert run.result.snapshot.rings == (1, 3)


def test_a_part_of_the_tests(engine_name: str) -> None:
    run = boot(engine_name, "run=test gates: the system call is direct;test no such test")
    assert run.lines[-3:] == [
        "ok gates: the system call is direct, and pushes the real IF",
        "1 passed, 0 failed",
        "0 passed, 0 failed",
    ]


@pytest.mark.parametrize("switcher", ["classic", "lean"])
def test_no_sleep_is_for_ever(engine_name: str, switcher: Switcher) -> None:
    """An interrupt between the Host kernel's sti and its hlt, which comes once in some hundred times."""
    name = "interrupts: fifty times HALT and the clock"
    run = boot(engine_name, "run=" + ";".join([f"test {name}"] * 20), switcher=switcher)
    assert run.end is End.POWERED_OFF
    assert run.lines.count(f"ok {name}") == 20


def test_it_says_in_which_rings_it_runs(engine_name: str) -> None:
    run = boot(engine_name)
    assert run.text.startswith(BANNER + PROMPT)
    assert run.end is End.POWERED_OFF


def test_commands_on_the_command_line_run_without_a_prompt(engine_name: str) -> None:
    run = boot(engine_name, "quiet run=echo one;echo  two words ; ;echo three")
    assert run.text == BANNER + "one\ntwo words\nthree\n"
    assert run.end is End.POWERED_OFF


def shown(typed: bytes, engine_name: str) -> Run:
    """What comes behind the banner when this is typed."""
    run = boot(engine_name, "", typed)
    assert run.text.startswith(BANNER)
    assert run.end is End.POWERED_OFF
    return run


def test_the_prompt_edits_lines(engine_name: str) -> None:
    run = shown(
        b"echo ab\x7fc\n"  # Backspace
        b"\x08\x08echo d\x08\x08\x08\x08\x08\x08\x08\x08\x08echo e\r\n"  # more of it than there is; CR LF is one end
        b"nonsense\x15echo f\r"  # Ctrl-U
        b"nonsense\x03echo g\n"  # Ctrl-C
        b"\x01\x1b\techo \x02h\n"  # what is no text is left out
        b"\x1b[Aecho i\x1b[D\x1bOC\x1b[3~\x1b[1;5C\n"  # and so are keys that send a sequence
        b"   \n\n",
        engine_name,
    )
    assert [line for line in run.lines if line in ("ac", *"defghi")] == ["ac", "e", "f", "g", "h", "i"]
    assert "no command" not in run.text
    assert f"{PROMPT}echo ab\b \bc\nac\n{PROMPT}" in run.text
    assert f"{PROMPT}nonsense" + "\b \b" * 8 + "echo f\nf\n" in run.text
    assert f"{PROMPT}nonsense^C\n{PROMPT}echo g\ng\n" in run.text


def test_a_last_line_without_an_end_is_run(engine_name: str) -> None:
    run = shown(b"echo one\necho two", engine_name)
    assert run.text.endswith(f"{PROMPT}echo one\none\n{PROMPT}echo two\ntwo\n")


def test_a_line_that_is_too_long_is_cut(engine_name: str) -> None:
    run = shown(b"echo " + b"y" * 1000 + b"\n", engine_name)
    assert max(line.count("y") for line in run.lines if line.startswith("y")) == 255 - len("echo ")


def test_nothing_typed_is_lost(engine_name: str) -> None:
    words = [f"word{number}" for number in range(400)]
    run = shown("".join(f"echo {word}\n" for word in words).encode(), engine_name)
    assert [line for line in run.lines if line.startswith("word")] == words


def test_every_command_of_help_is_one(engine_name: str) -> None:
    run = boot(engine_name, "run=help")
    names = [line.split()[0] for line in run.lines[2:]]
    assert {"help", "tasks", "uptime", "memory", "fault", "halt", "reboot", "test", "panic", "echo"} <= set(names)


def test_tasks_memory_and_uptime(engine_name: str) -> None:
    run = boot(engine_name, "run=run spin;run nothing;tasks;kill 6;kill 99;tasks;memory;uptime;run", memory=8 * MIB)
    tasks = [line.split() for line in run.lines if re.match(r" +\d+ +[13] ", line)]
    assert {(name, ring) for _, ring, _, _, _, name in tasks} == {
        ("idle", "1"), ("shell", "1"), ("ticker", "3"), ("fpu", "3"), ("tls", "3"), ("spin", "3"),
    }  # fmt: skip
    assert [state for _, _, state, _, _, name in tasks if name == "spin"] == ["ready", "exited"]
    assert "no program nothing; try: run" in run.lines
    assert "99: no such program; try: tasks" in run.lines
    assert re.search(r"^RAM 8192 KiB, kernel \d+ KiB, frames \d+ of \d+ in use$", run.text, re.M)
    uptime = r"^up \d+\.\d{3} s, wall clock (\d+)\.\d{3}, \d+ clock interrupts, TSC at (\d+) kHz$"
    up = re.search(uptime, run.text, re.M)
    assert up
    assert int(up[1]) > 1_700_000_000
    assert int(up[2]) > 1000


def test_the_prompt_lives_beside_a_program_that_only_spins(engine_name: str) -> None:
    run = shown(b"run spin\nrun spin\necho still here\ntasks\n", engine_name)
    assert "still here" in run.lines


@pytest.mark.parametrize(
    ("command", "end", "reason"),
    [
        ("poweroff", End.POWERED_OFF, "Power down"),
        ("reboot", End.RESTARTED, ""),
        ("panic", End.PANICKED, "asked to panic"),
        ("panic oh no", End.PANICKED, "oh no"),
        ("halt", End.HALTED, "halted"),
    ],
)
def test_ends(engine_name: str, command: str, end: End, reason: str) -> None:
    run = boot(engine_name, f"run={command};echo not reached")
    assert run.end is end
    assert reason in run.reason
    assert "not reached" not in run.text
    assert run.result.status == (3 if end in (End.PANICKED, End.HALTED) else 0)


def test_reboot_starts_again(engine_name: str) -> None:
    run = boot(engine_name, "", b"reboot\n", restart=True)
    assert run.end is End.POWERED_OFF
    assert run.result.restarts == 1
    assert run.text.split(BANNER)[1:] == [f"{PROMPT}reboot\n", f"{PROMPT}\n"]


@pytest.mark.parametrize("memory", [4 * MIB, 1024 * MIB])
def test_little_and_much_memory(engine_name: str, memory: int) -> None:
    run = boot(engine_name, "run=memory;test paging: a w", memory=memory)
    assert f"RAM {memory // 1024} KiB" in run.text
    assert "0 failed" in run.text
    assert run.end is End.POWERED_OFF
