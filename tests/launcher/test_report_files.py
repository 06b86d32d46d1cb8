# SPDX-License-Identifier: GPL-2.0-or-later
"""--report and --core: what they hold, and every FILE that cannot be one; on a machine played by a script."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import struct
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace

import fake_cli
import pytest
from fake_engine import AGAIN, IMAGE, FakeEngine, Script, fake_images

import lguest_py
from lguest_py import LguestError, engines, images
from lguest_py.cli import main
from lguest_py.launcher.report_data import FORMAT, VERSION
from lguest_py.shared_memory import _layouts as L

__all__ = ["fake_images"]
Boot = Callable[..., tuple[int, str, str]]


def killed(engine: FakeEngine) -> Generator[str, None, None]:
    """A Guest that dies of a page fault and put a terminal's escapes everywhere."""
    box = engine.mailbox
    engine.early_text(b"hello \x1b[31mred\x07\r\n")
    box["switches"] = 1
    registers = box.sub("guest", L.REGISTERS)
    registers["eip"], registers["esp"], registers["trapnum"], registers["cs"] = 0x3000, 0x4000, 14, 0x61
    engine.guest[0x3000:0x3002] = b"\x0f\x0b"
    box["guest_cr2"], box["guest_directory"] = 0xC0001234, 0x1000
    struct.pack_into("<I", engine.guest, 0x1000, 0x2003)
    struct.pack_into("<2I", engine.guest, 0x2000 + 4 * 3, 0x3003, 0x4003)
    box["shadow_directory"] = 0xFFFFF000  # there is nothing
    engine.end(L.END_KILLED, b"wrote \x1b[1m where it may not")
    yield AGAIN


def wild(engine: FakeEngine) -> Generator[str, None, None]:
    """Says that it is there, with addresses of the Host kernel's that lead nowhere."""
    engine.mailbox["switches"] = 5
    for name in ("frame_at", "state_at", "directory_at"):
        engine.mailbox[name] = 0xFFFFFFFE
    yield from fake_cli.idle(engine)


@pytest.fixture
def play(fake_images: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    def let(script: Script) -> None:
        choice = SimpleNamespace(make=lambda size: FakeEngine(size, script), name="fake", why="")
        monkeypatch.setattr(engines, "choose", lambda name: choice)
        monkeypatch.setattr(images, "open_image", lambda path: IMAGE)

    return let


@pytest.fixture
def boot(play: Callable[[Script], None], capfd: pytest.CaptureFixture[str]) -> Boot:
    """``lguest-py boot``: its status, stdout and stderr."""

    def run(*arguments: str | Path, script: Script = killed) -> tuple[int, str, str]:
        play(script)
        status = main(["boot", "--quiet", *map(str, arguments)])
        shown = capfd.readouterr()
        return status, shown.out, shown.err

    return run


def test_the_report_as_json(boot: Boot, tmp_path: Path) -> None:
    status, _, said = boot("--report", tmp_path / "r")
    text = (tmp_path / "r").read_text()
    assert text.isascii()
    data = json.loads(text)
    assert (status, data["format"], data["version"], data["end"]) == (3, FORMAT, VERSION, "killed")
    assert data["headline"] == said.removeprefix("lguest-py: ").rstrip("\n")
    assert data["guest"]["registers"]["eip"] == 0x3000
    assert data["guest"]["code"]["bytes"].startswith("0f0b")
    walks = {walk["what"]: walk for walk in data["walks"]}
    assert set(walks) == {"cr2", "eip", "esp"}
    assert walks["cr2"]["guest"]["why"] == "not present"
    assert walks["eip"]["guest"]["physical"] == 0x3000
    assert [level["at"] for level in walks["eip"]["guest"]["levels"]] == [0x1000, 0x200C]
    assert walks["eip"]["shadow"]["physical"] is None
    assert data["console"].startswith("hello ?[31mred?\n")


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


def test_no_text_of_it_controls_a_terminal(boot: Boot, tmp_path: Path) -> None:
    _, _, said = boot("--report", tmp_path / "r", "--verbose")
    for text in [*strings(json.loads((tmp_path / "r").read_text())), said]:
        assert text.replace("\n", "").replace("\t", "").isprintable(), text


def test_every_field_is_documented(boot: Boot, tmp_path: Path) -> None:
    boot("--report", tmp_path / "r")
    page = (Path(__file__).resolve().parents[2] / "docs/reports.md").read_text()

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    data = json.loads((tmp_path / "r").read_text())
    for counted in ("by_cause", "hypercalls"):
        data["switches"][counted] = {}
    for known in (data["guest"]["registers"], data["host"]["registers"], data["host"]["controls"]):
        known.clear()
    assert not [name for name in names(data) if not re.search(rf"`(?:\w+\.)?{name}`", page)]


def test_the_core_is_written_at_any_end(boot: Boot, tmp_path: Path) -> None:
    assert boot("--core", tmp_path / "c", script=fake_cli.off)[0] == 0
    assert (tmp_path / "c").read_bytes()[:4] == b"\x7fELF"
    status, _, said = boot("--core", tmp_path / "c", "--report", tmp_path / "r", "--timeout", "1", script=wild)
    assert (status, "Traceback" in said) == (4, False)
    assert json.loads((tmp_path / "r").read_text())["guest"]["registers"] is None


def test_a_power_off_is_reported_too(boot: Boot, tmp_path: Path) -> None:
    assert boot("--report", tmp_path / "r", script=fake_cli.off)[0] == 0
    data = json.loads((tmp_path / "r").read_text())
    assert (data["end"], data["status"], data["console"]) == ("powered off", 0, "bye")


def test_each_restart_leaves_the_files_to_the_last_boot(boot: Boot, tmp_path: Path) -> None:
    boots = []

    def restarts(engine: FakeEngine) -> Generator[str, None, None]:
        boots.append(1)
        engine.early_text(b"%d" % len(boots))
        engine.end(L.END_RESTART if len(boots) < 3 else L.END_KILLED, b"at last")
        yield AGAIN

    boot("--report", tmp_path / "r", "--core", tmp_path / "c", script=restarts)
    data = json.loads((tmp_path / "r").read_text())
    assert (data["restarts"], data["console"], data["reason"]) == (2, "3", "at last")


def test_a_restart_loop_has_a_report_and_a_core(boot: Boot, tmp_path: Path) -> None:
    def restarts(engine: FakeEngine) -> Generator[str, None, None]:
        engine.end(L.END_RESTART, b"")
        yield AGAIN

    boot("--report", tmp_path / "r", "--core", tmp_path / "c", script=restarts)
    data = json.loads((tmp_path / "r").read_text())
    assert (data["end"], data["walks"]) == ("restart loop", [])
    assert data["guest"] is not None
    assert (tmp_path / "c").stat().st_size > 4 << 20


# --- FILE -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--report", "--core"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "has an empty name"),
        ("no/such/folder", "No such file or directory"),
        (".", "Is a directory"),
        ("fifo", "no reader|no regular file"),
        ("a\x1bb\0c", "null byte"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line_before_the_guest_runs(
    boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    before = sorted(os.listdir("."))

    def never(engine: FakeEngine) -> Generator[str, None, None]:
        raise AssertionError("it ran")
        yield AGAIN

    status, out, said = boot(option, name, script=never)
    assert (status, out, said.count("\n")) == (2, "", 1)
    assert said.startswith(f"lguest-py: {option} ")
    assert any(each in said for each in why.split("|"))
    assert said.rstrip("\n").isprintable()
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/null", "/dev/full"])
def test_a_core_is_a_regular_file(boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir("."))
    status, _, said = boot("--core", name)
    assert status == 2
    assert said == f"lguest-py: --core {name} is no regular file, and a core has holes: give another FILE\n"
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_the_report_may_go_to_stdout(boot: Boot, name: str) -> None:
    status, out, _ = boot("--report", name)
    assert status == 3
    assert json.loads(out[out.index("{") :])["end"] == "killed"
    status, out, said = boot("--report", name, "--json")
    assert (status, said) == (2, f"lguest-py: --report {name} is where --json writes: give another FILE\n")


def test_the_same_file_twice(boot: Boot, tmp_path: Path) -> None:
    os.symlink("a", tmp_path / "b")
    status, _, said = boot("--report", tmp_path / "a", "--core", tmp_path / "b")
    assert (status, said) == (2, f"lguest-py: --core {tmp_path}/b is the file of --report, too: give another FILE\n")
    assert not (tmp_path / "a").exists()


def test_a_file_of_the_machine_is_not_overwritten(boot: Boot, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"precious" * 64)
    status, _, said = boot("--disk", disk, "--core", disk)
    assert (status, said) == (2, f"lguest-py: --core {disk} is the machine's own file {disk}: give another FILE\n")
    assert disk.read_bytes() == b"precious" * 64


def test_a_fifo_with_a_reader(boot: Boot, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    got: list[str] = []
    reading = threading.Event()

    def read() -> None:
        fd = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(fd, True)
        reading.set()
        with os.fdopen(fd) as file:
            while not got or not got[-1].endswith("}\n"):
                got.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    assert boot("--report", tmp_path / "fifo")[0] == 3
    thread.join()
    assert json.loads("".join(got))["end"] == "killed"


def test_a_full_disk_is_a_line_and_the_guests_own_status(boot: Boot) -> None:
    for script, status in ((killed, 3), (fake_cli.off, 1)):
        got, _, said = boot("--report", "/dev/full", script=script)
        assert got == status
        why = os.strerror(errno.ENOSPC)
        assert said.splitlines()[-1] == f"lguest-py: --report /dev/full could not be written ({why}): give another FILE"
        assert "Traceback" not in said


@pytest.mark.parametrize("option", ["--report", "--core"])
def test_what_does_not_fit_is_not_left_half_written(boot: Boot, tmp_path: Path, option: str) -> None:
    path = tmp_path / "it"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        status, _, said = boot(option, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 3
    assert said.splitlines()[-1].startswith(f"lguest-py: {option} {path} could not be written (File too large): ")
    assert path.read_bytes() == b""


def test_a_file_that_was_made_for_nothing_is_removed(boot: Boot, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    for name in ("new", "old"):
        status, _, said = boot("--report", tmp_path / name, "--disk", "/no/such/disk")
        assert (status, "/no/such/disk" in said) == (2, True)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "old").read_text() == "old"


# --- in a program ---------------------------------------------------------------------------------------------------


def test_a_program_gets_the_same(play: Callable[[Script], None], tmp_path: Path) -> None:
    play(killed)
    with lguest_py.Machine(report=tmp_path / "r", core=tmp_path / "c") as machine:
        result = machine.wait(60)
    report = result.report()
    assert isinstance(report, lguest_py.Report)
    assert json.loads((tmp_path / "r").read_text()) == report.as_dict()
    assert report.headline == "the Guest was killed: wrote  [1m where it may not"
    assert "eip 00003000" in report.text()
    assert report.short().startswith(report.headline + "\n")
    assert len(report.short().splitlines()) < 40
    assert machine.result is result


def test_a_program_whose_file_cannot_be_written(play: Callable[[Script], None], tmp_path: Path) -> None:
    play(killed)
    with pytest.raises(LguestError, match="--core"), lguest_py.Machine(core="/dev/null"):
        pass
    machine = lguest_py.Machine(report="/dev/full")
    with pytest.raises(LguestError, match="could not be written"), machine:
        machine.wait(60)
    assert machine.result
