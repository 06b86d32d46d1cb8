# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell completion: each shell itself is asked what it would complete; and the data it is made from."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import shutil
import signal
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from lguest_py.cli import fetch, main
from lguest_py.cli.completion import SHELLS, script
from lguest_py.cli.parsers import command_line
from lguest_py.cli.verbs import VERBS
from lguest_py.kernels.stock import STOCK

Complete = Callable[[str], set[str]]
PATIENCE = 60


def bash(directory: Path, line: str) -> set[str]:
    """What bash has in COMPREPLY."""
    words = line.split(" ")
    program = (
        f"source {shlex.quote(str(directory / 'script'))}\n"
        f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}\n"
        "_lguest_py; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "--norc", "-c", program], cwd=directory, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split("\n")) - {""}


def fish(directory: Path, line: str) -> set[str]:
    """What fish's own ``complete -C`` says."""
    program = f"source script; complete -C {shlex.quote(line)}"
    environment = {**os.environ, "HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    done = subprocess.run(
        ["fish", "--no-config", "-c", program], cwd=directory, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {answer.split("\t")[0] for answer in done.stdout.splitlines()}


def zsh(directory: Path, line: str) -> set[str]:
    """What a zsh at a wide terminal lists for a Tab, one answer a line."""
    (directory / ".zshrc").write_text(
        "autoload -Uz compinit; compinit -u -D; source script\n"
        "zstyle ':completion:*' verbose no; LISTMAX=1000\n"
        "unsetopt beep zle_bracketed_paste always_last_prompt; bindkey '^I' list-choices; PROMPT='PROMPT>'\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
        environment = {**os.environ, "ZDOTDIR": str(directory), "TERM": "dumb"}
        os.chdir(directory)
        os.execvpe("zsh", ["zsh", "-i"], environment)
    shown = b""

    def read_until(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            assert select.select([terminal], [], [], PATIENCE)[0], shown
            shown += os.read(terminal, 4096)

    try:
        read_until(b"PROMPT>")
        shown = b""
        os.write(terminal, line.encode() + b"\t\x15print answers-$((41 + 1))\r")
        read_until(b"answers-42")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    return set(shown.decode().replace("\r", "\n").split())


@pytest.fixture(params=[bash, fish, zsh], ids=lambda shell: shell.__name__)
def complete(request: pytest.FixtureRequest, tmp_path: Path) -> Complete:
    """What a shell completes at the end of a line, in a directory with one file."""
    shell = request.param
    if not shutil.which(shell.__name__):
        pytest.skip(f"{shell.__name__} is not installed")
    (tmp_path / "bzImage-of-mine").touch()
    (tmp_path / "script").write_text(script(shell.__name__))
    return lambda line: {word.rstrip() for word in shell(tmp_path, line)}


def test_the_verbs(complete: Complete) -> None:
    assert complete("lguest-py ") >= set(VERBS)
    assert "bzImage-of-mine" not in complete("lguest-py ")


def test_the_beginning_of_a_verb(complete: Complete) -> None:
    answers = complete("lguest-py c")
    assert answers >= {"completion", "cache"}
    assert not answers & {"boot", "doctor"}


def test_options(complete: Complete) -> None:
    options = complete("lguest-py boot --")
    assert options >= {"--initrd", "--memory", "--engine", "--timeout", "--on-reboot", "--json", "--quiet"}
    assert "--self-test" not in options
    assert complete("lguest-py doctor --") >= {"--json", "--self-test"}


def test_values(complete: Complete) -> None:
    assert complete("lguest-py boot --engine ") >= {"auto", "kvm", "tcg"}
    assert "bzImage-of-mine" not in complete("lguest-py boot --engine ")
    assert complete("lguest-py cache ") >= {"clear"}
    assert complete("lguest-py completion ") >= set(SHELLS)


def test_files_where_files_belong(complete: Complete) -> None:
    assert "bzImage-of-mine" in complete("lguest-py boot --initrd bz")
    assert "bzImage-of-mine" in complete("lguest-py boot bz")
    assert "bzImage-of-mine" not in complete("lguest-py cache ")


def test_names_of_kernels(complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "bzImage-of-mine" in complete("lguest-py boot ")  # though none was fetched
    for name in ("debian-6.1-686", "half"):
        (tmp_path / "lguest-py/kernels" / name).mkdir(parents=True)
    assert not [word for word in complete("lguest-py boot ") if "debian" in word or "*" in word]
    (tmp_path / "lguest-py/kernels/debian-6.1-686/fetched.json").touch()
    assert complete("lguest-py boot ") >= {"debian-6.1-686", "bzImage-of-mine"}
    assert "debian-6.1-686" in complete("lguest-py boot --memory 16M deb")
    assert "half" not in complete("lguest-py boot ")
    assert complete("lguest-py mkinitrd --kernel ") & {"debian-6.1-686", "bzImage-of-mine"} == {"debian-6.1-686"}
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert "debian-6.1-686" not in complete("lguest-py boot ")
    assert complete("lguest-py fetch ") >= set(STOCK)


def test_every_verb_makes_its_parser_first_and_has_help() -> None:
    main_verb, *verbs = command_line()
    assert [verb.name for verb in verbs] == list(VERBS)
    for verb in (main_verb, *verbs):
        assert verb.summary
        assert all(option.help for option in verb.options)
        assert verb.parser.usage
        assert verb.parser.usage.startswith("lguest-py")


def test_what_can_be_fetched_is_known_without_an_import() -> None:
    assert tuple(STOCK) == fetch.NAMES


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        assert capsys.readouterr().out == script(shell)
    assert main(["completion", "csh"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_hardware_that_begins_with_a_files_name(complete: Complete) -> None:
    assert complete("lguest-py boot --") >= {"--disk", "--net", "--publish", "--share", "--rng", "--console", "--vsock"}
    for option in ("--disk", "--block", "-b", "--share", "--console", "--vsock"):
        assert "bzImage-of-mine" in complete(f"lguest-py boot {option} ")
    assert "bzImage-of-mine" not in complete("lguest-py boot --net ")
    assert complete("lguest-py boot --bus ") >= {"auto", "page", "pci"}
    assert "bzImage-of-mine" in complete("lguest-py boot --rng ")  # the image: its own value is joined by "="
