# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: what it takes, what it says, how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from fake_engine import fake_images

from lguest_py import __version__
from lguest_py.cli.boot_options import parse
from lguest_py.cli.parser import Parser
from lguest_py.cli.signals import SignalPipe
from lguest_py.errors import UsageError

__all__ = ["fake_images"]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120


def command(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run ``python -m lguest_py`` with these arguments."""
    program = [sys.executable, "-m", "lguest_py", *arguments]
    how = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": PATIENCE, "stdin": subprocess.DEVNULL}
    return subprocess.run(program, check=False, **{**how, **more})


Fake = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def fake(fake_images: Path) -> Fake:
    """Start the command line on a scripted machine (tests/lab/fake_cli.py)."""

    def start(
        script: str, *arguments: str, stdin: int | IO[str] = subprocess.DEVNULL, **more: Any
    ) -> subprocess.Popen[str]:
        program = [sys.executable, str(ROOT / "tests/lab/fake_cli.py"), script, str(fake_images), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        out = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen(program, stdin=stdin, text=True, env=environment, **out)

    return start


def test_help_comes_at_once_and_needs_neither_cffi_nor_elftools() -> None:
    spy = "import sys; from lguest_py.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    heavy = "cffi", "elftools", "subprocess", "lguest_py.launcher.launcher", "lguest_py.kvm", "lguest_py.engines"
    spy += f"print([module for module in {heavy} if module in sys.modules])"
    for arguments in (["--help"], ["boot", "--help"]):
        program = [sys.executable, "-c", spy, *arguments]
        run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert "usage: lguest-py" in run.stdout
        assert run.stdout.endswith("[]\n")


def test_the_help_of_boot_tells_every_option_and_status() -> None:
    text = command("boot", "--help").stdout
    for word in (
        "lguest-py boot [options] [IMAGE | MACHINE.toml] [kernel arguments …]",
        *("--initrd FILE", "--memory SIZE", "--engine {auto,kvm,tcg}", "--timeout SECONDS"),
        *("--on-reboot {restart,exit}", "--json", "--quiet", "-v"),
        *("\n  0 ", "\n  1 ", "\n  2 ", "\n  3 ", "\n  4 ", "\n  5 ", "128+n"),
    ):
        assert word in text


def test_version() -> None:
    run = command("--version")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"lguest-py {__version__} (commit ")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "no verb"),
        (("start",), "no verb 'start'"),
        (("--boot",), "--boot"),
        (("--",), "no verb '--'"),
        (("boot", "--memory"), "--memory"),
        (("boot", "--memory", "lots"), "'lots' is not a size"),
        (("boot", "--memory", "3M"), "4M to 2048M"),
        (("boot", "--memory", "3G"), "4M to 2048M"),
        (("boot", "--memory", "67108865"), "4 KiB"),
        (("boot", "--memory", "99999999999999999999G"), "is not a size"),
        (("boot", "--mem", "64M"), "--mem"),
        (("boot", "--timeout", "0"), "'0' is not a time limit"),
        (("boot", "--timeout", "nan"), "'nan' is not a time limit"),
        (("boot", "--timeout", "inf"), "'inf' is not a time limit"),
        (("boot", "--timeout=-1"), "'-1' is not a time limit"),
        (("boot", "--engine", "xen"), "xen"),
        (("boot", "/nonexistent/bzImage"), "/nonexistent/bzImage"),
        (("boot", "/"), "/"),
        (("boot", ""), "IMAGE is empty"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(arguments: tuple[str, ...], word: str) -> None:
    run = command(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("lguest-py: ")
    assert run.stderr.count("\n") == 1
    assert word in run.stderr


@pytest.mark.parametrize(
    ("arguments", "image", "kernel_arguments"),
    [
        ([], None, []),
        (["-v"], None, []),
        (["bzImage"], "bzImage", []),
        (["--memory", "32M", "bzImage", "root=/dev/vda", "quiet"], "bzImage", ["root=/dev/vda", "quiet"]),
        (["--memory=32M", "bzImage", "--", "-v", "--memory", "--json"], "bzImage", ["--", "-v", "--memory", "--json"]),
        (["--", "-odd", "--quiet"], "-odd", ["--quiet"]),
        (["-v", "--", "bzImage"], "bzImage", []),
        (["bzImage", "init=/bin/sh", "--help"], "bzImage", ["init=/bin/sh", "--help"]),
    ],
)
def test_all_behind_the_image_is_the_kernels(
    arguments: list[str], image: str | None, kernel_arguments: list[str]
) -> None:
    options = parse(Parser, arguments)
    assert (options.image, options.kernel_arguments) == (image, kernel_arguments)
    assert not options.json


@pytest.mark.parametrize(
    ("text", "size"),
    [("64M", 64 << 20), ("1G", 1 << 30), ("8192K", 8 << 20), ("67108864", 64 << 20), ("32m", 32 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse(Parser, ["--memory", text]).memory == size


def test_an_unknown_option_before_the_image_is_not_taken_for_it() -> None:
    with pytest.raises(UsageError, match="--nonsense"):
        parse(Parser, ["--nonsense", "bzImage"])


def test_input_from_a_pipe_ends_with_ctrl_d(fake: Fake) -> None:
    run = fake("echo", "boot", "--quiet", stdin=subprocess.PIPE)
    out, err = run.communicate("typed", PATIENCE)
    assert (run.returncode, err) == (0, "")
    assert out == "ready\ntyped\x04"


def test_input_that_was_closed_is_at_its_end(fake: Fake) -> None:
    run = fake("echo", "boot", preexec_fn=lambda: os.close(0))
    out, _ = run.communicate(timeout=PATIENCE)
    assert (run.returncode, out) == (0, "ready\n\x04")


def test_engine_and_personality_are_told_in_a_line_each_unless_quiet(fake: Fake) -> None:
    _, err = fake("off", "boot").communicate(timeout=PATIENCE)
    engine, personality = err.splitlines()
    assert engine == "lguest-py: engine fake: a test asked for it"
    assert personality.startswith("lguest-py: personality lguest: ")
    _, err = fake("off", "boot", "--quiet").communicate(timeout=PATIENCE)
    assert err == ""


def test_json_is_one_object_alone_on_stdout(fake: Fake) -> None:
    run = fake("die", "boot", "--json", "--engine", "tcg")
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 3
    data = json.loads(out)
    assert out.count("\n") == 1
    assert (data["end"], data["reason"], data["status"]) == ("killed", "wrote where it may not", 3)
    assert (data["engine"], data["rings"], data["restarts"]) == ("fake", [1, 3], 0)
    assert data["switches"]["by_cause"] == {"page fault": 2, "hypercall": 1}
    assert "lguest-py: the Guest was killed: wrote where it may not\n" in err


def test_with_json_the_console_is_on_stderr(fake: Fake) -> None:
    out, err = fake("off", "boot", "--json", "--quiet").communicate(timeout=PATIENCE)
    assert json.loads(out)["end"] == "powered off"
    assert err == "bye"


def test_with_json_an_error_of_ours_is_an_object_too() -> None:
    run = command("boot", "--json", "/nonexistent")
    assert run.returncode == 2
    data = json.loads(run.stdout)
    assert (data["end"], data["status"]) == ("error", 2)
    assert run.stderr == f"lguest-py: {data['reason']}\n"


def test_a_death_is_reported_with_registers_and_switches(fake: Fake) -> None:
    run = fake("die", "boot")
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 3
    assert "the Guest was killed: wrote where it may not\n" in err
    assert "eax 1234abcd" in err
    assert "hypercall FLUSH_TLB" in err
    assert "page fault at dead0000" in err


def test_quiet_tells_the_reason_of_a_death_and_no_more(fake: Fake) -> None:
    _, err = fake("die", "boot", "--quiet").communicate(timeout=PATIENCE)
    assert err == "lguest-py: the Guest was killed: wrote where it may not\n"


def test_the_time_limit_has_status_4(fake: Fake) -> None:
    run = fake("idle", "boot", "--timeout", "0.1")
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4
    assert "0.1 seconds have passed" in err


def test_on_reboot_exit_ends_with_0(fake: Fake) -> None:
    run = fake("restart", "boot", "--on-reboot", "exit", "--json")
    out, _ = run.communicate(timeout=PATIENCE)
    assert (run.returncode, json.loads(out)["end"]) == (0, "restarted")


def test_a_signal_gives_128_and_its_number(fake: Fake) -> None:
    run = fake("idle", "boot", "--json")
    assert run.stderr is not None
    while "ready" not in run.stderr.readline():
        pass
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 128 + signal.SIGTERM
    assert (json.loads(out)["end"], json.loads(out)["reason"]) == ("signal", "SIGTERM")


def test_a_signal_that_was_ignored_stays_so(fake: Fake) -> None:
    run = fake("idle", "boot", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGHUP)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 128 + signal.SIGTERM


def test_a_second_signal_leaves_at_once() -> None:
    with SignalPipe() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.take() == signal.SIGTERM
        with pytest.raises(SystemExit) as caught:
            signal.raise_signal(signal.SIGHUP)
    assert caught.value.code == 128 + signal.SIGHUP


def test_a_console_that_cannot_be_written_is_one_line(fake: Fake) -> None:
    with open("/dev/full", "w") as full:
        run = fake("idle", "boot", "--quiet", stdout=full)
        _, err = run.communicate(timeout=PATIENCE)
    why = "the console's output cannot be written (No space left on device): give it another place"
    assert (run.returncode, err) == (1, f"lguest-py: {why}\n")


@pytest.mark.parametrize("arguments", [("--version",), ("cache",), ("mkinitrd", "--help")])
def test_other_output_that_cannot_be_written_is_one_line(arguments: tuple[str, ...]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        how = {"stdin": subprocess.DEVNULL, "stdout": full, "stderr": subprocess.PIPE, "text": True}
        run = command(*arguments, capture_output=False, env=environment, **how)
    why = "the output cannot be written (No space left on device): make room, or write it to another place"
    assert (run.returncode, run.stderr) == (1, f"lguest-py: {why}\n")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_standard_output_that_was_closed_changes_no_status(closed: int) -> None:
    run = command("boot", "/nonexistent", preexec_fn=lambda: os.close(closed))
    told = "lguest-py: /nonexistent does not exist: give a bzImage, or a kernel as ELF (vmlinux)\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "" if closed == 2 else told)


def test_an_error_that_cannot_be_told_keeps_its_status() -> None:
    with open("/dev/full", "w") as full:
        run = command("boot", "/nonexistent", capture_output=False, stdout=subprocess.PIPE, stderr=full)
    assert (run.returncode, run.stdout) == (2, "")


def test_a_reader_that_goes_away_ends_it_as_sigpipe_would(fake: Fake) -> None:
    read, write = os.pipe()
    run = fake("echo", "boot", "--quiet", stdin=subprocess.PIPE, stdout=write)
    os.close(write)
    assert os.read(read, 100) == b"ready\r\n"
    os.close(read)
    _, err = run.communicate("more", PATIENCE)
    assert (run.returncode, err) == (141, "")
