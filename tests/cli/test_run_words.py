# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of the kernel's command line: they arrive as they were given, or are refused; run= runs what was asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from guest import boot

from lguest_py import Machine
from lguest_py.cli import main
from lguest_py.errors import UsageError
from lguest_py.images.command_line import join, split
from lguest_py.images.native import additions
from lguest_py.kernels import mkinitrd
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.result import End, reported_status

NAME = "debian-6.1-686"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], ""),
        (["quiet", "console=ttyS0"], "quiet console=ttyS0"),
        (["run=exit 3"], 'run="exit 3"'),
        (["run=a\tb", "x=c\nd"], 'run="a\tb" x="c\nd"'),
        (["run=grep 'a b' | wc -l; \\n"], "run=\"grep 'a b' | wc -l; \\n\""),
        (["run= ls"], 'run=" ls"'),
        (['run="exit 7"'], 'run="exit 7"'),  # as the kernel wants it already
        (['run=echo"x"'], 'run=echo"x"'),
        (["run=a|b", "dir=c:\\d"], "run=a|b dir=c:\\d"),
        (["name=voil\u00e0"], 'name="voil\u00e0"'),  # UTF-8 with the byte 0xa0, which is white space to Linux
        (["name=\u00e9t\u00e9", "\udcff"], "name=\u00e9t\u00e9 \udcff"),
        (["", "quiet", ""], "quiet"),
        (["--", "-m"], "-- -m"),
    ],
)
def test_words_become_a_line_that_the_kernel_parts_so(words: list[str], line: str) -> None:
    assert join(words) == line
    parted = [word for word in words if word]
    assert [word.replace('"', "") for word in split(line)] == [word.replace('"', "") for word in parted]


@pytest.mark.parametrize(
    "word", ['run=echo "a b"', 'run="', 'a="b" c', "quiet splash", "a b=c", " quiet", "\u00e0=1", '"', 'x=it"s here']
)
def test_a_word_that_cannot_arrive_is_refused_in_one_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="the kernel's command line cannot carry"):
        join([word])
    assert main(["boot", "--engine", "tcg", str(Path(__file__)), word]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lguest-py: the kernel's command line cannot carry ")
    assert said.count("\n") == 1


def test_the_library_takes_words_too() -> None:
    with pytest.raises(UsageError, match="cannot carry"):
        Machine(command_line=["run=echo hi", 'run=say "a b"'])


def test_what_is_quoted_is_no_parameter_of_its_own() -> None:
    assert additions('run="echo tsc=x console=x"') == additions("quiet")
    assert "tsc=reliable" not in additions("tsc=unstable")


def test_without_a_local_apic_there_is_no_msi() -> None:
    assert "pci=nomsi" in additions("nolapic")
    assert "pci=nomsi" not in additions("noapic")
    assert "pci=nomsi" not in additions("nolapic pci=nomsi")


# --- the init that mkinitrd makes, run by a shell here: what of it needs a kernel is played ---------------------------


@pytest.fixture
def init(tmp_path: Path) -> Callable[..., list[str]]:
    """Run it with these words from the kernel; what it prints."""
    shell = shutil.which("bash")
    if not shell:
        pytest.skip("no bash here")
    played = tmp_path / "bin"
    played.mkdir()
    for name in ("mount", "mkdir", "mkfifo", "stty", "poweroff", "halt", "reboot", "usleep"):
        (played / name).write_text("#!/bin/sh\n")
    for name in ("cttyhack", "setsid"):
        (played / name).write_text('#!/bin/sh\nexec "$@"\n')
    for path in played.iterdir():
        path.chmod(0o755)
    text = mkinitrd.INIT.replace("/bin/busybox --install -s", ":").replace("/tmp/", f"{tmp_path}/")
    text = text.replace("/dev/lguest", f"{tmp_path}/lguest").replace("export HOME=/root PATH=", f"PATH={played}:")
    text = text.replace("/bin/sh \"$0\"", f"{shell} \"$0\"")  # busybox's shell reads with a time limit, as bash does
    (tmp_path / "init").write_text(text)

    def run(*words: str, **environment: str) -> list[str]:
        command = [shell, str(tmp_path / "init"), *words]
        done = subprocess.run(
            command, env={"PATH": f"{played}:{os.environ['PATH']}", **environment}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize(
    ("words", "run", "status"),
    [
        ((), "exit 3", 3),
        ((), "true", 0),
        ((), "no-such-command-at-all", 127),
        ((), "", 2),
        ((), " \t", 2),
        (("3",), "exit", 2),
        (("-m",), "uname", 2),
        (("run=exit 5",), None, 5),  # behind --
        ((), None, 0),  # nothing was asked: what was typed, which is nothing
    ],
)
def test_the_init_tells_no_success_of_what_it_was_not_asked(
    init: Callable[..., list[str]], words: tuple[str, ...], run: str | None, status: int
) -> None:
    printed = init(*words, **({} if run is None else {"run": run}))
    assert printed[-1] == f"lguest-py: exit status {status}"
    if status == 2:
        assert printed[0].startswith("init: ")


# --- in Guests --------------------------------------------------------------------------------------------------------


def test_the_tiny_guest_runs_what_is_quoted_or_the_rest(engine_name: str) -> None:
    run = boot(engine_name, join(["x=1 run=no", "run=echo  two words;echo lguest-py: exit status 4", "quiet"]))
    assert run.lines[-2:] == ["two words", "lguest-py: exit status 4"]
    assert run.end is End.POWERED_OFF


@pytest.mark.parametrize("line", ["run=tsks;echo lguest-py: exit status 0", "run=", 'run="" quiet'])
def test_the_tiny_guest_tells_no_success_of_what_it_did_not_run(engine_name: str, line: str) -> None:
    run = boot(engine_name, line)
    assert (run.end, run.result.status) == (End.PANICKED, 3)
    assert run.reason.startswith("run= names ")
    assert reported_status(run.text.encode()) is None


WORDS = ("quiet", "run=printf '%s|' a 'b  c' \\\\x `echo t` | tr t T; uname -m; exit 3")


@pytest.mark.nightly("kvm")
def test_in_linux_a_command_arrives_whole(engine_name: str, stock: Kernel, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    mkinitrd.make_initrd(str(initrd), mkinitrd.busybox_tree(str(stock.directory / "busybox")))
    with Machine(NAME, initrd=initrd, command_line=WORDS, engine=engine_name, timeout=400) as machine:  # type: ignore[arg-type]
        machine.wait()
        lines = machine.console.output.replace("\r", "").splitlines()
    behind = lines[lines.index("a|b  c|\\x|T|i686") + 1 :]
    assert next(filter(None, behind)) == "lguest-py: exit status 3"
    assert reported_status(machine.console.output.encode()) == 3
