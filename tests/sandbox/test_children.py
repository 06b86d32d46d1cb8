# SPDX-License-Identifier: GPL-2.0-or-later
"""The walls of QEMU, qemu-nbd and passt, tried from inside: by a program in their place, and by gdb in QEMU itself.

Read next: lguest_py/sandbox/child.py.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import lguest_py
from lguest_py.disks import qemu_nbd
from lguest_py.engines import tcg
from lguest_py.networks.passt import Passt, start_passt
from lguest_py.sandbox import child, landlock
from lguest_py.sandbox.child import walled

needs_landlock = pytest.mark.skipif(not landlock.version()[0], reason=f"no Landlock: {landlock.version()[1]}")
# Each line is an attempt; what it prints says whether it succeeded.
SCRIPT = """
cat {secret} >/dev/null && echo read a secret
cat /etc/shadow >/dev/null && echo read shadow
cat /proc/$PPID/environ >/dev/null && echo read the parent
echo x >>{secret} && echo wrote a secret
true >{new} && echo made a file
ls {folder} >/dev/null && echo listed a folder
rm {secret} && echo removed a secret
echo x >/dev/tty && echo wrote to the terminal
kill -0 $PPID && echo signalled the parent
cat {image} >/dev/null && echo read the image
echo x >>{image} && echo wrote the image
mkdir {folder}/d && echo made a folder
ulimit -c
(ulimit -c unlimited) && echo raised a limit
grep NoNewPrivs: /proc/self/status || echo no status
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    """The attempts, at files that are there."""
    for name in ("secret", "image"):
        (tmp_path / name).write_text("text")
    return SCRIPT.format(secret=tmp_path / "secret", new=tmp_path / "new", image=tmp_path / "image", folder=tmp_path)


def status(pid: int, name: str) -> set[str]:
    """A line of the status of each thread."""
    return {
        re.search(rf"^{name}:\s*(.*)$", (task / "status").read_text(), re.MULTILINE)[1]  # type: ignore[index]
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


def limits(pid: int, name: str) -> set[str]:
    """The soft and the hard one; a process of another user tells them, too."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return set(next(line for line in lines if line.startswith(name))[26:].split()[:2])


def said(script: str) -> set[str]:
    """What a program says that is started as QEMU is."""
    with tempfile.TemporaryFile() as errors:
        process = tcg.start_qemu(["/bin/sh", "-c", script], (), errors.fileno(), 1 << 20)
        assert process.wait() in (0, 1)
        errors.seek(0)
        lines = errors.read().decode().splitlines()
    return {line for line in lines if line and ": " not in line}  # the others are errors


@needs_landlock
def test_a_program_in_qemus_place_can_do_nothing(script: str, tmp_path: Path) -> None:
    allowed = {"signalled the parent"} if landlock.version()[0] < 6 else set()
    assert said(script) - allowed == {"0", "no status"}
    assert not (tmp_path / "new").exists()


def test_no_sandbox_takes_the_walls_away(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_enabled", False)
    assert said(script) >= {"read a secret", "made a file", "removed a secret", "wrote the image", "made a folder"}
    assert tcg.sandbox_options() == []


@needs_landlock
@pytest.mark.parametrize("readonly", [True, False])
def test_a_program_in_qemu_nbds_place_writes_its_image_only(script: str, readonly: bool, tmp_path: Path) -> None:
    rules = qemu_nbd._rules(str(tmp_path / "nowhere"), str(tmp_path / "image"), readonly)
    with walled(rules, {"RLIMIT_CORE": 0}) as prepare:
        done = subprocess.run(["/bin/sh", "-c", script], preexec_fn=prepare, capture_output=True, text=True)
    lines = set(done.stdout.splitlines())
    assert "NoNewPrivs:\t1" in lines
    wrote = {line for line in lines if line.startswith(("wrote", "made", "removed", "raised"))}
    assert wrote == (set() if readonly else {"wrote the image"})
    assert "read the image" in lines


def started(name: str) -> Iterator[int]:
    """Processes of this one, by their program."""
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, task.read_text().split()):
            with suppress(OSError):
                if name in Path(f"/proc/{pid}/exe").readlink().name:
                    yield pid


def a_qemu() -> int:
    """That of this process, when its threads are there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for pid in started("qemu-system"):
            return pid
        time.sleep(0.05)
    raise AssertionError("no QEMU")


def attempts_by_gdb(pid: int, *calls: str) -> list[int]:
    """What these calls return in the process, to which gdb is attached."""
    words = [word for call in calls for word in ("-ex", f'printf "= %d\\n", {call}')]
    command = ["gdb", "-q", "-batch", "-nx", "-p", str(pid), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = [int(value) for value in re.findall(r"^= (-?\d+)$", done.stdout, re.MULTILINE)]
    assert len(found) == len(calls), done.stdout + done.stderr
    return found


@pytest.mark.skipif(not shutil.which(tcg.QEMU), reason="QEMU is not installed")
def test_qemu_itself_is_behind_all_of_them() -> None:
    with lguest_py.Machine(engine="tcg", memory="8M") as machine:
        machine.console.expect("lguest> ", timeout=300)
        pid = a_qemu()
        assert status(pid, "NoNewPrivs") == {"1"}
        if (tcg.ask_qemu() or ("", "", False))[2]:  # its builder may have left it out
            assert status(pid, "Seccomp") == {"2"}
        assert limits(pid, "Max core file size") == {"0"}
        assert limits(pid, "Max file size") == {str(tcg.MESSAGES)}
        assert all(int(each) <= tcg.ADDRESSES + (64 << 20) for each in limits(pid, "Max address space"))
        assert {os.readlink(f"/proc/{pid}/fd/{number}").split(":")[0] for number in range(3)} == {"/memfd"}, (
            "nothing of the user's is open"
        )
        machine.console.sendline("poweroff")
        assert machine.wait(timeout=300).status == 0


@pytest.mark.nightly
@needs_landlock
@pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")
def test_calls_in_qemu_itself_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("text")
    with lguest_py.Machine(engine="tcg", memory="8M") as machine:
        machine.console.expect("lguest> ", timeout=300)
        found = attempts_by_gdb(
            a_qemu(),
            f'(int)open("{tmp_path}/secret", 0)',
            f'(int)open("{tmp_path}/new", 0101, 0600)',
            '(int)open("/etc/shadow", 0)',
            '(int)open("/dev/null", 0)',
        )
        assert found[:3] == [-1, -1, -1]
        assert found[3] >= 0, "gdb's calls can succeed"
        machine.console.sendline("poweroff")
        assert machine.wait(timeout=300).status == 0


@pytest.mark.skipif(not shutil.which("passt"), reason="passt is not installed")
def test_passt_gets_no_new_privileges_beside_its_own_walls() -> None:
    link: Passt = start_passt(0, bytes.fromhex("525400000001"), ())
    try:
        pid = link._process._process.pid
        assert status(pid, "NoNewPrivs") == {"1"}
        assert status(pid, "Seccomp") == {"2"}
        assert limits(pid, "Max core file size") == {"0"}
    finally:
        link.close()


@pytest.mark.skipif(not shutil.which("qemu-nbd"), reason="qemu-nbd is not installed")
def test_qemu_nbd_reads_an_image_that_another_is_based_on(tmp_path: Path) -> None:
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    for command in (
        ["create", "-q", "-f", "qcow2", str(base), "1M"],
        ["create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(top)],
    ):
        subprocess.run(["qemu-img", *command], check=True)
    disk = qemu_nbd.open_image(str(top), str(top), "qcow2", False)
    try:
        assert [status(pid, "NoNewPrivs") for pid in started("qemu-nbd")] == [{"1"}]
        disk.write(0, [memoryview(bytearray(b"x" * 512))], True)
        back = memoryview(bytearray(512))
        disk.read(0, [back])
        assert bytes(back) == b"x" * 512
    finally:
        disk.close()


def test_the_limits_of_a_child_are_no_higher_than_they_were() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number, pair = child.lowered("RLIMIT_NOFILE", 10) or (0, (0, 0))
    assert (number, pair) == (resource.RLIMIT_NOFILE, (10, 10))
    assert (child.lowered("RLIMIT_NOFILE", 1 << 40) or (0, ()))[1] == (soft, hard)
    assert child.lowered("RLIMIT_OF_NOTHING", 1) is None
    assert sys.platform != "linux" or child.enabled()
