# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench``'s command line, on a machine that is scripted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from bench_lab import ENVIRONMENT, row
from fake_engine import AGAIN, FakeEngine
from fake_engine import Script as Played
from imagewriter import kernel

from lguest_py import engines
from lguest_py.bench import catalogue, linux
from lguest_py.cli import bench, main
from lguest_py.cli.parsers import command_line
from lguest_py.engines import Choice
from lguest_py.errors import LguestError
from lguest_py.measurements import environment
from lguest_py.measurements.record import MAX_FILE
from lguest_py.measurements.row import CYCLES, INSTRUCTIONS, Row
from lguest_py.shared_memory import _layouts as L

ROOT = Path(__file__).resolve().parents[2]
KINDS: dict[str, Mapping[str, str]] = {
    "micro": {"null-switch": "there and back", "reflect": "a fault"},
    "linux": {"fork": "fork, exit, wait"},
    "boot": {"boot": "to its init"},
}
Lines = Callable[[], tuple[str, str]]


class Script:
    """What the sources measure: ``value`` in each row; ``asked`` of them."""

    def __init__(self) -> None:
        self.value = 100
        self.asked: list[catalogue.Suite] = []
        self.error: LguestError | None = None

    def measure(self, suite: catalogue.Suite) -> list[Row]:
        """As Suite.measure."""
        self.asked.append(suite)
        if self.error:
            raise self.error
        unit = INSTRUCTIONS if suite.counted else CYCLES
        group = "switch" if suite.kind == "micro" else "linux"
        rows = [row(name, self.value, group=group, switcher=suite.switcher, unit=unit) for name in suite.names]
        if suite.kind != "micro":
            rows += [replace(each, where="native", switcher="") for each in rows]
        return rows


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Script:
    """The machine, and a directory of its own."""
    script = Script()
    monkeypatch.setattr(catalogue, "catalogue", lambda: KINDS)
    monkeypatch.setattr(catalogue.Suite, "measure", lambda suite: script.measure(suite))
    monkeypatch.setattr(catalogue, "kernel", lambda *_: catalogue.Kernel(Path("k"), None, "6.1.0"))
    monkeypatch.setattr(
        environment,
        "describe",
        lambda engine, counted, kernels: replace(ENVIRONMENT, kernel="6.1.0" if list(kernels) else ""),
    )
    monkeypatch.chdir(tmp_path)
    return script


def done(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[str, str]:
    """What ``lguest-py bench`` with these arguments says, on stdout and stderr."""
    ended = main(["bench", *arguments])
    said = capsys.readouterr()
    assert ended == status, said.err
    return said.out, said.err


def test_help_needs_nothing_heavy() -> None:
    spy = "import sys; from lguest_py.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    ours = "lguest_py.bench", "lguest_py.engines", "lguest_py.launcher.launcher"
    heavy = "cffi", "elftools", "subprocess", "json", *ours
    spy += f"print([module for module in {heavy} if module in sys.modules])"
    program = [sys.executable, "-c", spy, "bench", "--help"]
    said = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.endswith("[]\n")
    for word in (
        *("--list", "--linux", "--image FILE", "--initrd FILE", "--engine {auto,kvm,tcg}", "--icount", "--runs N"),
        *("--switcher {classic,lean,both}", "--json", "--plot FILE", "--compare FILE", "--export FILE", "LGUEST_LINUX"),
    ):
        assert word in said


def test_the_shell_can_complete_the_names(script: Script) -> None:
    (verb,) = [verb for verb in command_line() if verb.name == "bench"]
    assert verb.words == ("null-switch", "reflect", "fork", "boot")


def test_the_list(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = done(capsys, "--list")
    assert err == ""
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == [
        *("null-switch", "reflect", "fork", "boot")
    ]
    assert not script.asked


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ((), [("micro", ("null-switch", "reflect"))]),
        (("reflect",), [("micro", ("reflect",))]),
        (("--linux",), [("linux", ("fork",))]),
        (("--linux", "reflect"), [("micro", ("reflect",)), ("linux", ("fork",))]),
        (("boot", "fork", "reflect", "null-switch"), [
            ("micro", ("null-switch", "reflect")), ("linux", ("fork",)), ("boot", ("boot",)),
        ]),
    ],
)  # fmt: skip
def test_what_is_measured(
    script: Script, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], asked: list[tuple[str, object]]
) -> None:
    done(capsys, *arguments, "--switcher", "lean", "--runs", "1")
    assert [(suite.kind, suite.names) for suite in script.asked] == asked
    assert {suite.switcher for suite in script.asked} == {"lean"}


def test_both_switchers_each_until_its_minimum_stands(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = done(capsys, "reflect")
    assert [suite.switcher for suite in script.asked] == ["classic"] * 4 + ["lean"] * 4
    assert [line.split()[:3] for line in out.splitlines()[4:]] == [
        ["reflect", "classic", "100"],
        ["reflect", "lean", "100"],
    ]
    assert err == ""


def test_with_icount_two_equal_runs_are_enough(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "reflect", "--icount", "--switcher", "lean")
    assert len(script.asked) == 2
    assert all(suite.counted for suite in script.asked)


def test_a_minimum_that_still_moves_is_told(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = done(capsys, "reflect", "--runs", "2", "--switcher", "lean")
    assert err == "lguest-py: minima that moved until the end (give more --runs): reflect guest lean\n"
    assert done(capsys, "reflect", "--runs", "1")[1] == ""


def test_json_is_one_line_a_run(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = done(capsys, "--json", "--linux", "reflect")
    assert (out.count("\n"), err) == (1, "")
    data = json.loads(out)
    assert (data["schema"], data["engine"], data["flavour"], data["kernel"]) == (1, "tcg", "emulated", "6.1.0")
    assert [(each["name"], each["where"], each["switcher"]) for each in data["rows"]] == [
        ("reflect", "guest", "classic"), ("reflect", "guest", "lean"), ("fork", "guest", "classic"),
        ("fork", "native", ""), ("fork", "guest", "lean"),
    ]  # fmt: skip
    assert data["rows"][3]["n"] == 8
    assert data["date"].startswith("20")


def test_compare(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.json").write_text(done(capsys, "--json", "reflect")[0])
    out, _ = done(capsys, "--compare", "old.json", "reflect")
    assert "0 of 2 rows changed" in out
    script.value = 200
    out, err = done(capsys, "--compare", "old.json", "reflect", "--json")
    assert "2 of 2 rows changed" in err
    assert "+100.0 %" in err
    assert out.count("\n") == 1


def test_what_is_not_alike_is_refused_before_it_is_measured(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.json").write_text(done(capsys, "--json", "reflect")[0])
    script.asked.clear()
    out, err = done(capsys, "--compare", "old.json", "--icount", status=2)
    assert (out, err.count("\n")) == ("", 1)
    assert not script.asked
    out, err = done(capsys, "--compare", "old.json", "null-switch", "--runs", "1", status=2)
    assert err.count("\n") == 1
    assert "null-switch" in out  # what was measured is not lost


def test_export(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "reflect", "--export", "mine.json")
    data = json.loads(Path("mine.json").read_text())
    assert "date" not in data
    assert [each["name"] for each in data["rows"]] == ["reflect", "reflect"]


def test_plot(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    done(capsys, "reflect", "--plot", "it.svg")
    assert "reflect (guest lean)" in Path("it.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("nonsense",), "nothing called 'nonsense'"),
        (("--runs", "0"), "'0' is not a number of runs"),
        (("--runs", "many"), "'many' is not a number of runs"),
        (("--runs", "9" * 99), "is not a number of runs"),
        (("--switcher", "fast"), "fast"),
        (("--engine", "xen"), "xen"),
        (("--plot", "it.pdf"), "it.pdf"),
        (("--plot", "none/it.svg"), "none/it.svg"),
        (("--export", "."), "cannot be written"),
        (("--export", "none/it.json"), "none/it.json"),
        (("--compare", "none.json"), "none.json"),
        (("--lin",), "--lin"),
    ],
)
def test_wrong_use_is_one_line_before_anything_is_measured(
    script: Script, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str
) -> None:
    out, err = done(capsys, *arguments, status=2)
    assert (out, err.count("\n")) == ("", 1)
    assert word in err
    assert not script.asked


def test_a_full_disk_does_not_lose_what_was_measured(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = done(capsys, "reflect", "--export", "/dev/full", status=1)
    assert "reflect" in out
    assert err == "lguest-py: /dev/full cannot be written (No space left on device): choose another place (--export)\n"


def test_what_is_too_large_to_be_a_measurement(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    Path("big").touch()
    os.truncate("big", MAX_FILE + 1)  # no disk holds it: it is one hole
    said = "lguest-py: big is larger than any measurement (64 MB): give what bench --json wrote\n"
    assert done(capsys, "--compare", "big", status=2) == ("", said)
    assert not script.asked


def dies(engine: FakeEngine) -> Generator[str, None, None]:
    """A Guest that is killed."""
    engine.early_text(b"so far so good\r\n")
    engine.end(L.END_KILLED, b"wrote where it may not")
    yield AGAIN


def measures_nothing(engine: FakeEngine) -> Generator[str, None, None]:
    """A Guest that ends well, with no row but the clock's."""
    engine.early_text(b"BENCH clock 3*1\r\nBENCH done\r\n")
    engine.end(L.END_POWER_OFF)
    yield AGAIN


@pytest.mark.parametrize(
    ("guest", "names", "said"),
    [
        (dies, ["hypercall"], "the measurement failed, with 'so far so good': the Guest was killed: wrote where it "),
        (dies, ["fork"], "the measurement failed, with 'so far so good': the Guest was killed: wrote where it may "),
        (measures_nothing, ["hypercall"], "hypercall was not measured: try again, and lguest-py doctor --self-test"),
        (measures_nothing, ["fork"], "the Linux program did not measure fork: give an initrd with one that does, or "),
    ],
)
def test_a_guest_that_does_not_measure_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    guest: Played, names: list[str], said: str,
) -> None:  # fmt: skip
    image, disk = tmp_path / "vmlinux", tmp_path / "disk"
    image.write_bytes(kernel().bytes())
    disk.write_bytes(b"disk")
    choice = Choice(lambda size: FakeEngine(size, guest), "fake", "a test asked for it")
    monkeypatch.setattr(engines, "choose", lambda name: choice)
    monkeypatch.setattr(linux, "run_native", lambda *_: "BENCH clock 3*1\nBENCH done\n")
    options = ["--image", str(image), "--initrd", str(disk), "--switcher", "lean", "--runs", "1"]
    out, err = done(capsys, *names, *options, status=1)
    assert out == ""
    assert err.startswith(f"lguest-py: {said}")
    assert err.count("\n") == 1


def test_a_measurement_that_fails_is_one_line(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.error = LguestError("the Guest died")
    assert done(capsys, "reflect", status=1) == ("", "lguest-py: the Guest died\n")


def test_what_an_engine_does_not_have_is_told(
    script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "measure", lambda _: [])
    out, err = done(capsys, "reflect", "--icount", status=2)
    assert (out, err) == ("", "lguest-py: nothing of reflect can be measured on the engine tcg with --icount\n")


def test_the_live_view_tells_how_far_it_is_and_what_moved(script: Script) -> None:
    said: list[str] = []
    suite = catalogue.Suite("micro", "lean", ("a", "b", "c", "d"), 10, "tcg", False, None)
    bench._repeat(suite, said.append)
    assert said[:3] == [
        "micro lean",
        "micro lean: run 1 of at most 10, 4 minima moved: a, b, c …",
        "micro lean: run 2 of at most 10",
    ]


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a file named as a kernel, and none in the cache or the environment."""
    (tmp_path / "bzImage").write_bytes(b"no kernel at all" * 64)
    (tmp_path / "disk").write_bytes(b"no disk")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LGUEST_LINUX", raising=False)
    return tmp_path


def test_which_kernel_is_taken(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, disk = images / "bzImage", images / "disk"
    assert catalogue.kernel("linux", str(image), None) == catalogue.Kernel(image, None, "bzImage")
    assert catalogue.kernel("boot", str(image), str(disk)) == catalogue.Kernel(image, disk, "bzImage")
    with pytest.raises(LguestError, match="boot needs an initrd"):
        catalogue.kernel("boot", str(image), None)
    for kind in ("linux", "boot"):
        with pytest.raises(LguestError, match=r"debian-6\.1-686 is not in the cache"):
            catalogue.kernel(kind, None, None)
    with pytest.raises(LguestError, match="none is not a file"):
        catalogue.kernel("linux", str(image), "none")
    monkeypatch.setenv("LGUEST_LINUX", str(images))
    assert catalogue.kernel("linux", None, None).image == image
    with pytest.raises(LguestError, match="is not in the cache"):
        catalogue.kernel("boot", None, None)
