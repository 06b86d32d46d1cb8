# SPDX-License-Identifier: GPL-2.0-or-later
"""lguest_py.Machine: a Guest in a Python program, on scripts and on the real engines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import fake_cli
import pytest
from fake_engine import AGAIN, IMAGE, FakeEngine, Script, fake_images

import lguest_py
from lguest_py import End, ExpectError, LguestError, Machine, engines, images
from lguest_py.console import expect
from lguest_py.errors import EngineError, ImageError, UsageError

__all__ = ["fake_images"]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # seconds; the carrier is slow
Scripted = Callable[[Script], None]


@pytest.fixture
def scripted(fake_images: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Let all machines be played by a script."""

    def play(script: Script) -> None:
        choice = SimpleNamespace(make=lambda size: FakeEngine(size, script), name="fake", why="")
        monkeypatch.setattr(engines, "choose", lambda name: choice)
        monkeypatch.setattr(images, "open_image", lambda path: IMAGE)

    return play


def open_files() -> set[str]:
    return {f"{fd.name} {os.readlink(fd)}" for fd in Path("/proc/self/fd").iterdir() if fd.exists()}


def children(process: int | str = "self") -> list[str]:
    """The processes that any of its threads started."""
    return [pid for task in Path(f"/proc/{process}/task").glob("*/children") for pid in task.read_text().split()]


def test_importing_the_package_imports_nothing_else() -> None:
    program = (
        "import sys, lguest_py\n"
        "assert not [name for name in sys.modules if name.startswith('lguest_py.')], sys.modules\n"
        "from lguest_py import Machine\n"
        "assert not {'cffi', 'elftools', 'pytest'} & set(sys.modules)\n"
        "assert lguest_py.Machine is Machine\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="no attribute 'Maschine'"):
        _ = lguest_py.Maschine


def test_what_is_imported_late_is_listed_before() -> None:
    program = "import sys, lguest_py; print(*dir(lguest_py)); assert 'lguest_py.machine' not in sys.modules"
    shown = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    assert {*lguest_py.__all__, "__version__"} <= set(shown)
    assert shown == sorted(set(shown))
    assert all(hasattr(lguest_py, name) for name in shown)


def test_the_console_before_the_boot_says_what_to_do(scripted: Scripted) -> None:
    scripted(fake_cli.idle)
    machine = Machine()
    with pytest.raises(LguestError, match=r"no console yet: boot it by 'with machine:'"):
        machine.console.expect("x")
    assert not hasattr(machine, "console")
    with machine:
        machine.console.expect("ready", PATIENCE)
    assert "ready" in machine.console.output


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"image": "/nowhere/bzImage"}, ImageError, "/nowhere/bzImage"),
        ({"image": Path("/nowhere")}, ImageError, "/nowhere"),
        ({"memory": "64Q"}, UsageError, "64Q"),
        ({"memory": "1M"}, UsageError, "4M to 2048M"),
        ({"memory": 5000}, UsageError, "4M to 2048M"),
        ({"engine": "xen"}, UsageError, "xen"),
        ({"on_reboot": "explode"}, UsageError, "explode"),
    ],
)
def test_what_cannot_be_booted_is_refused_at_once(options: dict[str, str], error: type, text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        Machine(**options)  # type: ignore[arg-type]


def test_expect_takes_texts_and_expressions_one_behind_the_other(scripted: Scripted) -> None:
    scripted(fake_cli.echo)
    with Machine(timeout=PATIENCE) as machine:
        assert machine.engine == "fake"
        assert machine.console.expect("ready").group() == "ready"
        machine.console.send("one two.three é")
        assert machine.console.expect(re.compile(r"(\w+) (?P<last>\w+)\.")).groupdict() == {"last": "two"}
        machine.console.expect("three é")
        with pytest.raises(ExpectError) as caught:
            machine.console.expect("one", timeout=0.01)
        assert "'one' within 0.01 seconds" in str(caught.value)
        machine.console.send(b"q")
        assert machine.wait(PATIENCE).status == 0
    assert machine.console.output == "ready\r\none two.three éq"
    assert machine.wait(0).outcome.end is End.POWERED_OFF


def test_sendline_ends_with_enter(scripted: Scripted) -> None:
    scripted(fake_cli.echo)
    with Machine() as machine:
        machine.console.sendline("abc")
        machine.console.expect("abc\r", PATIENCE)


def test_an_error_shows_the_last_output_and_how_the_guest_ended(scripted: Scripted) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.early_text(b"".join(b"line %d\r\n" % n for n in range(50)))
        yield AGAIN
        yield from fake_cli.die(engine)

    scripted(script)
    with Machine() as machine:
        with pytest.raises(ExpectError) as caught:
            machine.console.expect("login:", PATIENCE)
        first, *shown = str(caught.value).splitlines()
        assert "the Guest was killed: wrote where it may not before it printed 'login:'" in first
        assert shown == [f"  line {n}" for n in range(30, 50)]
        assert caught.value.output.startswith("line 0\r\n")
        assert machine.wait(PATIENCE).outcome.end is End.KILLED


def test_a_guest_that_says_nothing_is_shown_as_that(scripted: Scripted) -> None:
    scripted(lambda engine: fake_cli.restart(engine))
    with Machine(on_reboot="exit") as machine, pytest.raises(ExpectError, match=r"restarted before .*\n  \(nothing\)"):
        machine.console.expect("x", PATIENCE)


def test_leaving_ends_the_guest_and_gives_everything_back(scripted: Scripted) -> None:
    scripted(fake_cli.idle)
    before = open_files(), threading.active_count(), children()
    with Machine() as machine:
        machine.console.expect("ready", PATIENCE)
        with pytest.raises(TimeoutError, match="still runs"):
            machine.wait(0.01)
    result = machine.wait(0)
    assert (result.outcome.end, result.outcome.reason) == (End.LEFT, "the program ended it")
    assert (open_files(), threading.active_count(), children()) == before
    machine.close()  # once more does nothing
    machine.console.send("nobody hears it")
    with pytest.raises(UsageError, match="already"), machine:
        pass
    with pytest.raises(UsageError, match="'with'"):
        Machine().wait()


def test_a_long_input_and_a_long_output_pass(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expect, "KEPT", 50_000)
    scripted(fake_cli.echo)
    text = "".join(f"{n:7};" for n in range(20_000))
    with Machine() as machine:
        machine.console.send(text)
        machine.console.expect("  19999;", PATIENCE)
        assert text.endswith(machine.console.output)
        assert 37_500 < len(machine.console.output) <= 50_000


def test_an_error_of_ours_reaches_the_program(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(fake_cli.idle)

    def fail(self: FakeEngine, entry: int, ebx: int) -> None:
        raise EngineError("the machine does not start")

    monkeypatch.setattr(FakeEngine, "start", fail)
    with pytest.raises(EngineError, match="does not start"), Machine() as machine:
        machine.console.expect("x", PATIENCE)
    with pytest.raises(EngineError, match="does not start"), Machine() as machine:
        machine.wait(PATIENCE)
    with pytest.raises(EngineError, match="does not start"), Machine():
        pass  # nobody asked, and yet it must not pass in silence


def test_any_thread_may_wait_type_and_end_it(scripted: Scripted) -> None:
    scripted(fake_cli.echo)
    with Machine() as machine, ThreadPoolExecutor(3) as pool:
        waiting = pool.submit(machine.wait, PATIENCE)
        expecting = pool.submit(machine.console.expect, "never", PATIENCE)
        pool.submit(machine.console.send, "hello").result()
        machine.console.expect("hello", PATIENCE)
        pool.submit(machine.close).result()
        assert waiting.result().outcome.end is End.LEFT
        assert "'never'" in str(expecting.exception())


def test_a_chatty_guest_can_be_left(scripted: Scripted) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        while True:
            if engine.mailbox["text_head"] == engine.mailbox["text_tail"]:
                engine.early_text(b"x" * 64)
            yield AGAIN

    scripted(script)
    with Machine() as machine:
        machine.console.expect("x" * 1000, PATIENCE)


def test_the_time_limit_is_an_end(scripted: Scripted) -> None:
    scripted(fake_cli.idle)
    with Machine(timeout=0.05) as machine:
        assert machine.wait(PATIENCE).outcome.end is End.TIME_LIMIT


def test_a_status_that_the_guest_tells(scripted: Scripted) -> None:
    def script(engine: FakeEngine) -> Generator[str, None, None]:
        engine.early_text(b"lguest-py: exit status 7\r\n[    1.5] reboot: Power down\r\n")
        yield from fake_cli.off(engine)

    scripted(script)
    with Machine() as machine:
        result = machine.wait(PATIENCE)
    assert (result.guest_status, result.status) == (7, 0)


def test_a_restart_goes_on_in_the_same_console(scripted: Scripted) -> None:
    boots: list[FakeEngine] = []

    def script(engine: FakeEngine) -> Generator[str, None, None]:
        boots.append(engine)
        engine.early_text(b"boot %d\r\n" % len(boots))
        yield from fake_cli.restart(engine) if len(boots) < 3 else fake_cli.off(engine)

    scripted(script)
    with Machine() as machine:
        for number in (1, 2, 3):
            machine.console.expect(f"boot {number}", PATIENCE)
        assert machine.wait(PATIENCE).restarts == 2


# --- on the engines ------------------------------------------------------------------------------------------


def test_talking_with_the_tiny_guest(engine_name: str) -> None:
    before = open_files(), threading.active_count(), children()
    with Machine(engine=engine_name, memory="32M") as machine:  # type: ignore[arg-type]
        assert machine.engine == engine_name
        machine.console.expect("lguest> ", PATIENCE)
        machine.console.sendline("memory")
        assert machine.console.expect(re.compile(r"RAM (\d+) KiB"), PATIENCE)[1] == "32768"
        machine.console.send("\x04")
        result = machine.wait(PATIENCE)
    assert (result.status, result.engine, result.snapshot.rings) == (0, engine_name, (1, 3))
    assert (open_files(), threading.active_count(), children()) == before


def test_two_guests_at_once_and_an_exception(engine_name: str) -> None:
    before = open_files(), threading.active_count(), children()

    def fail() -> None:
        with Machine(engine=engine_name) as machine:  # type: ignore[arg-type]
            machine.console.expect("lguest> ", PATIENCE)
            machine.console.sendline("fault bad-hypercall")
            machine.console.expect("never printed", PATIENCE)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(fail), pool.submit(fail)]:
            with pytest.raises(LguestError, match="the Guest was killed"):
                future.result()
    assert (open_files(), threading.active_count(), children()) == before


INTERRUPTED = """
import sys, lguest_py
try:
    with lguest_py.Machine(engine=sys.argv[1]) as machine:
        machine.console.expect("lguest> ", None)
        print("at the prompt", flush=True)
        machine.console.expect("never printed", None)
except KeyboardInterrupt:
    print(machine.wait(0).outcome.end.value)
"""


def test_ctrl_c_ends_everything(engine_name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, engine_name], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "at the prompt\n"
        started = children(process.pid)
        assert len(started) == (engine_name == "tcg")
        time.sleep(0.1)  # into the wait, most likely; it holds everywhere
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE)[0] == "left\n"
    assert process.returncode == 0
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def status_of(engine_name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lguest_py", "boot", "--engine", engine_name, "--timeout", "300", *arguments]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.mark.nightly("kvm")
def test_the_command_lines_exit_status_can_be_the_guests(engine_name: str) -> None:
    guest = str(ROOT / "lguest_py/_images/guest.elf")
    told = status_of(engine_name, "--guest-status", "--quiet", guest, "run=echo lguest-py: exit status 7")
    assert (told.returncode, told.stderr) == (7, "")
    silent = status_of(engine_name, "--guest-status", "--quiet", guest, "run=echo the exit status is 7")
    assert (silent.returncode, "without reporting its status" in silent.stderr) == (3, True)
    killed = "run=echo lguest-py: exit status 0;fault bad-hypercall"
    assert status_of(engine_name, "--guest-status", "--quiet", guest, killed).returncode == 3
