# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of hardware and a machine file's keys: what they become, and one line for what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lguest_py.cli import main
from lguest_py.cli.boot_options import machine_options, misplaced, parse
from lguest_py.cli.parser import Parser
from lguest_py.errors import LguestError, UsageError
from lguest_py.hardware import Console, Disk, Entropy, Network, Publish, Share, Vsock
from lguest_py.hardware.table import TABLES
from lguest_py.hardware.text import FORMS
from lguest_py.launcher.machine_file import CHECKS, KEYS
from lguest_py.launcher.machine_options import MachineOptions

ROOT = Path(__file__).resolve().parents[2]
MAC = "02:00:00:00:00:01"


def machine(*arguments: str) -> MachineOptions:
    return machine_options(parse(Parser, arguments))


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Writes a machine file, and returns its name."""

    def write(text: str | bytes, name: str = "machine.toml") -> str:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path / name)

    return write


RIGHT: list[tuple[list[str], Any]] = [
    (["--disk", "a b.img,readonly"], Disk("a b.img", readonly=True)),
    (["--disk=a,,b,overlay"], Disk("a,b", overlay=True)),
    (["--block", "a,b"], Disk("a,b")),
    (["--block=x=y"], Disk("x=y")),
    (["-b", "a"], Disk("a")),
    (["-ba"], Disk("a")),
    (["-vb", "a"], Disk("a")),
    (["--net", "user"], Network()),
    (["--net", f"tap:lg0,mac={MAC}"], Network("tap", "lg0", mac=MAC)),
    (["--tunnet=192.168.19.1"], Network("host", address="192.168.19.1")),
    (["-t", f"bridge:lg0:{MAC}"], Network("bridge", "lg0", mac=MAC)),
    (["--publish", "[::1]:80:8080/udp"], Publish(80, 8080, "udp", "::1")),
    (["--share", ".,tag=here,readonly"], Share(".", "here", readonly=True)),
    (["--rng"], Entropy()),
    (["-r"], Entropy()),
    (["--rng=/dev/random"], Entropy("/dev/random")),
    (["-r/dev/random"], Entropy("/dev/random")),
    (["--console", "/tmp/socket"], Console("/tmp/socket")),
    (["--vsock", "vm.sock"], Vsock("vm.sock")),
    (["--vsock=a,,b,cid=42"], Vsock("a,b", 42)),
]


@pytest.mark.parametrize(("arguments", "device"), RIGHT)
def test_an_option_becomes_hardware(arguments: list[str], device: Any) -> None:
    for image in (["bzImage", "quiet"], ["--", "bzImage", "quiet"]):
        found = machine(*arguments, *image)
        assert (found.devices, found.image, list(found.command_line)) == ((device,), "bzImage", ["quiet"])
    assert machine(*arguments).devices == (device,)


def test_each_option_is_tested_and_hardware_stays_in_order() -> None:
    assert {arguments[0].partition("=")[0].removeprefix("--") for arguments, _ in RIGHT} >= set(FORMS)
    found = machine("--share", ".", "--disk", "a", "--rng", "-b", "b", "--net", "user")
    assert found.devices == (Share("."), Disk("a"), Entropy(), Disk("b"), Network())


@pytest.mark.parametrize("short", [("-i", "--initrd"), ("-u", "--username"), ("-c", "--chroot")])
def test_the_originals_short_names(short: tuple[str, str]) -> None:
    for words in ([short[0], "x"], [f"{short[0]}x"], [short[1], "x"], [f"{short[1]}=x"]):
        assert getattr(machine(*words, "bzImage"), short[1].removeprefix("--")) == "x"


WRONG = [  # an option with a wrong value, and what is right
    (["--disk", "a,readonyl"], "did you mean readonly?"),
    (["--disk", ""], "give a file's name"),
    (["--disk"], "expected one argument"),
    (["--block", ""], "give a file's name"),
    (["--net", "tun"], "give user, tap:NAME or bridge:NAME"),
    (["--net", f"user,mac={MAC}:02"], "give six bytes in hexadecimal"),
    (["--tunnet", "eth0"], "give the IPv4 address of the Host"),
    (["--publish", "http:80"], "two ports, as 8080:80"),
    (["--publish", "80:80", "--net", "tap:x"], "give --net user too"),
    (["--share", ".,rw"], "give readonly or tag="),
    (["--share", ".,tag=a", "--share", "/,tag=a"], "the tag a is given twice"),
    (["--rng", "--rng"], "is given twice"),
    (["--console", "x" * 200], "at most 107 bytes"),
    (["--vsock", "x" * 97], "at most 96 bytes"),
    (["--vsock", "cid=3,socket=vm.sock"], "give SOCKET[,cid=N], as vm.sock,cid=3"),
    (["--vsock", "a", "--vsock", "b,cid=4"], "a vsock is given twice: give it once"),
    (["--bus", "isa"], "auto"),
    (["--engine", "xen"], "kvm"),
    (["64", "bzImage"], "lguest-py boot --memory 64M bzImage"),
    (["64m", "bzImage"], "lguest-py boot --memory 64m bzImage"),
    (["--rng", "/dev/random"], "the source of --rng is joined to it, --rng=/dev/random"),
    (["nowhere.toml"], "nowhere.toml does not exist: give a machine file"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_wrong_value_is_one_line_and_status_2(
    arguments: list[str], said: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["boot", *["--json"][: int(as_json)], *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()
    if as_json:
        assert json.loads(out) == {"end": "error", "reason": err[len("lguest-py: ") : -1], "status": 2}
    else:
        assert out == ""


WRONG_KEYS: list[tuple[str, str]] = [
    ('imgae = "x"', "there is no key 'imgae': did you mean image?"),
    ('kernel = "x"', "there is no key 'kernel': give image, initrd"),
    ('command_line = "x"', "did you mean command-line?"),
    ("json = true", "json is no property of a machine: give --json on the command line"),
    ("image = 5", "image: it cannot be 5: give a text"),
    ('image = ""', "image: it cannot be '': give a text"),
    ('image = "other.toml"', "name a kernel"),
    ("initrd = [1]", "initrd: it cannot be [1]: give a text"),
    ('memory = "much"', "memory: 'much' is not a size: give bytes, or a number with K, M or G"),
    ("memory = true", 'memory: it cannot be True: give a size, as "64M"'),
    ("memory = 64", "memory of 64 bytes cannot be: give 4M to 2048M"),
    ("command-line = 5", "command-line: it cannot be 5: give a text as the kernel reads it, or a list of words"),
    ('command-line = ["a", 5]', "or a list of words"),
    ("timeout = -1", "timeout: '-1' is not a time limit: give seconds, more than 0"),
    ("timeout = []", "timeout: it cannot be []: give seconds"),
    ("timeout = nan", "give seconds, more than 0"),
    ("guest-status = 1", "guest-status: it cannot be 1: give true or false"),
    ("username = 1", "username: it cannot be 1: give a text"),
    ("chroot = false", "chroot: it cannot be False: give a text"),
    ('engine = "kmv"', "engine: it cannot be 'kmv': did you mean kvm?"),
    ("engine = 1", "engine: it cannot be 1: give auto, kvm or tcg"),
    ('switcher = "fast"', "switcher: it cannot be 'fast': give classic or lean"),
    ('on-reboot = "stop"', "on-reboot: it cannot be 'stop': give restart or exit"),
    ('bus = "pic"', "bus: it cannot be 'pic': did you mean pci?"),
    ("report = 5", "report: it cannot be 5: give a text"),
    ('core = ""', "core: it cannot be '': give a text"),
    ("trace = 5", "trace: it cannot be 5: give a text"),
    ("trace-rate = 0", "trace-rate: '0' is not a rate: give 1 to 10000 samples a second"),
    ("trace-rate = []", "trace-rate: it cannot be []: give samples a second"),
    ("root = 5", "root: it cannot be 5: give a text"),
    ("disk = 5", "disk: it cannot be 5: give a text or a table"),
    ('disk = ["a", ["b"]]', "disk 2: it cannot be ['b']: give a text or a table"),
    ('disk = ["a", "b,readnoly"]', "disk 2: a disk has no option readnoly: did you mean readonly?"),
    ('disk = { path = "a" }', "disk: there is no 'path' in it: give file, readonly, overlay, format or serial"),
    ("disk = { readonly = true }", "disk: file is missing: give file = …"),
    ('disk = { file = "a", readonly = "yes" }', "disk: a disk's readonly cannot be 'yes': give true or false"),
    ('[disks]\nfile = "a"', "there is no key 'disks': did you mean disk?"),
    ("block = {}", "block: it cannot be {}: give a text"),
    ('net = "usr"', "net: a network cannot be 'usr': did you mean user?"),
    ('net = { kind = "tap" }', "net: a tap's name cannot be ''"),
    ('net = { kind = "user", publish = ["80"] }', "net: publish: a published port cannot be '80'"),
    ('tunnet = "x"', "tunnet: a host network's address cannot be 'x'"),
    ("publish = 80", "publish: it cannot be 80: give a text or a table"),
    ('publish = { host = 80 }', "publish: guest is missing"),
    ('share = { dir = ".", tga = "x" }', "share: there is no 'tga' in it: did you mean tag?"),
    ("rng = 1", "rng: it cannot be 1: give true, or a text"),
    ("console = true", "console: it cannot be True: give a text or a table"),
    ("vsock = true", "vsock: it cannot be True: give a text or a table"),
    ("vsock = { cid = 3 }", "vsock: socket is missing: give socket = …"),
    ('vsock = { socket = "a", cid = "3" }', "vsock: a vsock's cid cannot be '3': give a number, 3 to 4294967294"),
    ("disk = [", "line 1: "),
    ('image = "x"\n\nimage = "y"', "line 3: "),
    ('image = "x"\nnonsense', "line 2: "),
    ("a = " + "[" * 5000, "line 1: "),
    ("", "is empty: give a machine file"),
]


@pytest.mark.parametrize(("text", "said"), WRONG_KEYS)
def test_a_wrong_key_is_one_line_with_its_file(
    text: str, said: str, file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name = file(text)
    assert main(["boot", "--engine", "tcg", name]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert name in err or "memory of 64 bytes" in err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


def test_each_key_is_tested() -> None:
    wrong = {text.lstrip("[").partition("=")[0].strip() for text, _ in WRONG_KEYS}
    assert wrong >= set(KEYS)
    assert set(CHECKS) >= {"image", "memory", "on-reboot"}
    assert set(TABLES) == set(FORMS) - {"block", "tunnet", "rng"}


def test_a_file_that_is_not_utf8_is_one_line(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", file(b'image = "x"\ninitrd = "\xff"\n')]) == 2
    assert "machine.toml line 2: it is not UTF-8" in capsys.readouterr().err


ALL = """
image = "kernel"
initrd = "sub/initrd"
root = "kept.img"
memory = "32M"
command-line = "console=hvc0 run=\\"ls -l\\""
engine = "tcg"
switcher = "classic"
timeout = 2.5
on-reboot = "exit"
guest-status = true
bus = "page"
username = "nobody"
chroot = "/var/empty"
disk = ["root.img,readonly", { file = "/b,c.qcow2", overlay = true, format = "qcow2" }]
block = "d,e"
net = ["user", { kind = "tap", name = "lg0", mac = "02:00:00:00:00:02" }]
tunnet = "192.168.19.1"
publish = ["8080:80", { host = 53, guest = 53, protocol = "udp", address = "127.0.0.1" }]
share = [".", { dir = "~/x", tag = "home", readonly = true }]
rng = true
console = "one.socket"
vsock = { socket = "vm.socket", cid = 5 }
"""


def test_a_machine_file_says_all_that_the_options_say(
    file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = machine(file(ALL))
    base = f"{tmp_path}/"
    assert found == MachineOptions(
        base + "kernel", base + "sub/initrd", 32 << 20, 'console=hvc0 run="ls -l"', "tcg", "classic", 2.5, "exit",
        True, "page", "nobody", "/var/empty",
        (
            Disk(base + "root.img", readonly=True), Disk("/b,c.qcow2", overlay=True, format="qcow2"),
            Disk(base + "d,e"), Network(), Network("tap", "lg0", mac="02:00:00:00:00:02"),
            Network("host", address="192.168.19.1"), Publish(8080, 80), Publish(53, 53, "udp", "127.0.0.1"),
            Share(base + "."), Share("/home/me/x", "home", readonly=True), Entropy(), Console(base + "one.socket"),
            Vsock(base + "vm.socket", 5),
        ),
        base + "kept.img",
    )  # fmt: skip


def test_the_command_line_replaces_what_the_file_says_and_adds_to_it(file: Any, tmp_path: Path) -> None:
    found = machine("--memory", "8M", "-i", "mine", "--disk", "c", "--bus", "pci", file(ALL), "quiet", "run=a b")
    assert (found.memory, found.initrd, found.bus, found.engine) == (8 << 20, "mine", "pci", "tcg")
    assert found.devices[-1] == Disk("c")
    assert found.devices[0] == Disk(f"{tmp_path}/root.img", readonly=True)
    assert found.command_line == 'console=hvc0 run="ls -l" quiet run="a b"'
    words = machine(file('command-line = ["run=a b"]'), "quiet")
    assert words.command_line == ["run=a b", "quiet"]


def test_a_file_may_name_a_fetched_kernel_or_none(file: Any, tmp_path: Path) -> None:
    assert machine(file('image = "debian-6.1-686"')).image == "debian-6.1-686"
    (tmp_path / "debian-6.1-686").touch()
    assert machine(file('image = "debian-6.1-686"')).image == f"{tmp_path}/debian-6.1-686"
    assert machine(file("rng = false")) == MachineOptions()


def test_paths_are_relative_to_the_file_wherever_we_are(
    file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file('disk = "a"')
    monkeypatch.chdir(tmp_path)
    assert machine("machine.toml").devices == (Disk("a"),)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir("sub")
    assert machine("../machine.toml").devices == (Disk("../a"),)


@pytest.mark.parametrize("word", ["--disk", "--disk=a", "--rng", "-b", "--username=x", "--initrd", "--bus=pci", "-t"])
def test_options_behind_the_image_get_a_hint(word: str) -> None:
    names = parse(Parser, []).names
    assert misplaced(["quiet", word, "x"], names) == [word]
    assert misplaced(f"quiet {word} x", names) == [word]
    assert misplaced(["quiet", "--", word], names) == []


def test_the_hint_is_for_a_machine_file_too(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--share", "."], []):
        name = file('image = "nowhere"\n' + ("" if arguments else 'command-line = "quiet --share=."'))
        assert main(["boot", "--engine", "tcg", name, *arguments]) == 2
        assert "goes to the kernel: to give it to lguest-py, put it before" in capsys.readouterr().err


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "nonsense"])
def test_names_of_any_bytes_in_any_locale_with_closed_input(locale: str, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff \xc3\xa9,\x1b"
    done = subprocess.run(
        [sys.executable, "-m", "lguest_py", "boot", "--disk", name + b",reedonly"],
        cwd=ROOT, env={**os.environ, "LC_ALL": locale}, capture_output=True, preexec_fn=lambda: os.close(0),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_error_of_a_machine_is_a_lguest_error() -> None:
    with pytest.raises(LguestError):
        MachineOptions(engine="xen")
    with pytest.raises(UsageError, match="on_reboot cannot be 'stop': give restart or exit"):
        MachineOptions(on_reboot="stop")
