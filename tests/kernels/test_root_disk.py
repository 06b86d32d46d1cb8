# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py fetch debian-12-i386``: the root disk, with a program in mmdebstrap's place; and what goes wrong.

tests/userland/test_userland.py boots the one that the real mmdebstrap makes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archive_lab import Archive, archive, pytestmark

from lguest_py.cli import main
from lguest_py.errors import LguestError
from lguest_py.kernels import root_disk, stock, system

__all__ = ["archive", "pytestmark"]
ROOT = Path(__file__).resolve().parents[2]
NAME, KERNEL = "debian-12-i386", "debian-6.1-686"
# Makes a system of the files that it was given and a sign of life; notes how it was called.
MMDEBSTRAP = """\
#!/bin/sh
[ "$1" = --unshare-helper ] && shift && exec "$@"
printf '%s\\n' "$@" >"$CALLED"
for last; do :; done
cp "$last" "$CALLED.sources"
echo "I: running apt-get update..." >&2
mkdir "$TMPDIR/system"
for word; do
    case $word in
        --customize-hook=tar-in*)
            word=${word#*tar-in }
            tar -C "$TMPDIR/system" -xf "${word% /}"
            ;;
    esac
done
mkdir "$TMPDIR/system/dev"
: >"$TMPDIR/system/dev/null"
"""
PACK = 'exec tar -C "$TMPDIR/system" --owner=0 --group=0 -cf - .\n'


@pytest.fixture
def machine(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose one package source is of bookworm; the file in which mmdebstrap notes how it was called."""
    index = archive.root / "dists/bookworm/main/binary-i386/Packages"
    index.parent.mkdir(parents=True)
    index.write_text(archive.index.replace("Filename: ./", "Filename: "))
    data = index.read_bytes()
    (archive.root / "dists/bookworm/Release").write_text(
        "Codename: bookworm\nArchitectures: i386\nComponents: main\nSHA256:\n"
        f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-i386/Packages\n"
    )
    source = f"deb [trusted=yes] file:{archive.root} bookworm main\n"
    (tmp_path / "sources.list").write_text(source)
    monkeypatch.setenv("CALLED", str(tmp_path / "called"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    (tmp_path / "temporary").mkdir(mode=0o777)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    mmdebstrap(tmp_path, MMDEBSTRAP + PACK)
    return tmp_path / "called"


def mmdebstrap(tmp_path: Path, text: str) -> None:
    (tmp_path / "programs").mkdir(exist_ok=True)
    (tmp_path / "programs/mmdebstrap").write_text(text)
    (tmp_path / "programs/mmdebstrap").chmod(0o755)


def debugfs(image: Path, command: str) -> str:
    done = subprocess.run(["/sbin/debugfs", "-R", command, str(image)], check=True, capture_output=True, text=True)
    return done.stdout


def left(tmp_path: Path) -> list[str]:
    """What an attempt left behind: folders of the cache, and files in TMPDIR."""
    names = [path.name for path in stock.kernels().iterdir()] + os.listdir(tmp_path / "temporary")
    return sorted(set(names) - {".lock", f".lock.{NAME}", KERNEL})


def failed(capsys: pytest.CaptureFixture[str], tmp_path: Path, status: int = 1) -> str:
    """Fetch what cannot be made; the one line that says why."""
    assert main(["fetch", NAME]) == status
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("lguest-py: ")
    assert left(tmp_path) == []
    assert stock.find(NAME) is None
    return error


def test_the_system_is_an_image_with_the_kernels_modules(
    machine: Path, archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", NAME]) == 0
    found = stock.find(NAME)
    assert found
    assert found.root
    assert found.root.stat().st_size == 4 << 30
    assert found.root.stat().st_blocks * 512 < 400 << 20
    assert debugfs(found.root, "cat /etc/hostname") == system.FILES["etc/hostname"]
    assert debugfs(found.root, "cat /usr/lib/modules/6.1.0-50-686/kernel/lib/crc8.ko") == "module"
    assert "null" not in debugfs(found.root, "ls /dev")
    owner = debugfs(found.root, "stat /etc/hostname")
    assert "User:     0   Group:     0" in owner
    assert found.kernel.read_bytes() == b"kernel 50"
    called = machine.read_text().splitlines()
    assert {"--architectures=i386", "--skip=check/qemu"} <= set(called)  # i386 programs run here: no arch-test wanted
    assert called[-3] == "bookworm"
    assert Path(f"{machine}.sources").read_text() == f"deb file:{archive.root}/ bookworm main\n"
    out, err = capsys.readouterr()
    assert str(found.root) in out
    assert "making the root disk" in err
    assert left(tmp_path) == [NAME]


def test_what_is_there_is_not_made_again_unless_asked(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", NAME]) == 0
    machine.unlink()
    assert main(["fetch", NAME]) == 0
    assert f"{NAME} is already in the cache" in capsys.readouterr().err
    assert not machine.exists()
    assert main(["fetch", "--again", NAME]) == 0
    assert machine.exists()


def test_a_disk_of_another_recipe_is_made_anew_by_fetch_alone(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fetch", NAME]) == 0
    found = stock.resolve(NAME)
    assert found
    assert found.root
    assert found.root_edition == root_disk.edition()
    assert not found.root_is_old
    machine.unlink()
    monkeypatch.setitem(system.FILES, "etc/hostname", "other\n")
    before = found.root.stat()
    old = stock.resolve(NAME)  # by boot
    assert old
    assert old.root_is_old
    assert stock.resolve(KERNEL)
    assert found.root.stat() == before
    # An attempt that fails leaves the old one.
    mmdebstrap(tmp_path, "#!/bin/sh\necho 'E: the mirror is gone' >&2; exit 1\n")
    assert main(["fetch", NAME]) == 1
    assert stock.resolve(NAME) == old
    assert found.root.stat() == before
    mmdebstrap(tmp_path, MMDEBSTRAP + PACK)
    capsys.readouterr()
    assert main(["fetch", NAME]) == 0
    assert "was made by another version of lguest-py: it is made anew" in capsys.readouterr().err
    assert debugfs(found.root, "cat /etc/hostname") == "other\n"
    new = stock.resolve(NAME)
    assert new
    assert not new.root_is_old
    machine.unlink()
    assert main(["fetch", NAME]) == 0
    assert not machine.exists()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (root_disk, "SIZE", "5G"), (root_disk, "VARIANT", "apt"), (root_disk, "FORMAT", "exit"),
        (system, "PACKAGES", ("systemd-sysv",)), (system, "LINKS", {}), (system, "FINISH", "true"),
    ],
)  # fmt: skip
def test_all_of_the_recipe_is_in_the_edition(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, value: object
) -> None:
    before = root_disk.edition()
    monkeypatch.setattr(module, name, value)
    assert root_disk.edition() != before


def test_a_kernel_that_is_fetched_anew_leaves_the_systems_own(machine: Path, archive: Archive) -> None:
    assert main(["fetch", NAME]) == 0
    shutil.rmtree(stock.kernels() / KERNEL)
    found = stock.find(NAME)
    assert found
    assert found.kernel.read_bytes() == b"kernel 50"
    assert (found.modules / "6.1.0-50-686").is_dir()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'E: cannot install foo' >&2; exit 25\n", "mmdebstrap failed (cannot install foo): try again later"),
        ("head -c 100 /dev/zero; echo 'E: the mirror is gone' >&2; exit 1\n", "mmdebstrap failed (the mirror is gone)"),
        ("head -c 99999 /dev/zero | tr '\\0' x\n", "mke2fs failed (tar: This does not look like a tar archive)"),
        ("echo 'tar: x: Cannot write: No space left on device' >&2; exit 2\n", "(No space left on device): make room"),
    ],
    ids=["a package", "within the stream", "no tar", "no room"],
)
def test_a_system_that_cannot_be_made(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str, words: str
) -> None:
    mmdebstrap(tmp_path, "#!/bin/sh\n" + script)
    assert words in failed(capsys, tmp_path)


def test_too_little_room_is_seen_before_the_work(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fetch", KERNEL]) == 0
    monkeypatch.setattr(root_disk, "NEEDED", 1 << 60)
    error = failed(capsys, tmp_path)
    assert str(tmp_path / "temporary") in error
    assert "make room" in error
    assert not machine.exists()


@pytest.mark.parametrize(("program", "package"), [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs")])
def test_a_machine_without_the_tools(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, program: str,
    package: str,
) -> None:  # fmt: skip
    assert main(["fetch", KERNEL]) == 0
    (tmp_path / "tools").mkdir()
    for name in {"apt-get", "apt-cache", "apt-config", "dpkg", "tar", "mke2fs", "mmdebstrap"} - {program}:
        (tmp_path / "tools" / name).symlink_to(str(shutil.which(name, path=os.environ["PATH"] + ":/sbin")))
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    monkeypatch.setattr(root_disk, "SBIN", str(tmp_path / "tools"))
    assert f"{program} is not installed, and makes the root disk: apt-get install {package}" in failed(capsys, tmp_path)


def test_sources_without_debian_12(machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", KERNEL]) == 0
    (tmp_path / "sources.list").write_text("")
    assert "have no bookworm:i386: add Debian 12's" in failed(capsys, tmp_path)


@pytest.mark.parametrize(
    ("newuidmap", "listed", "words"),
    [
        (False, False, "apt-get install uidmap"),
        (True, False, "usermod --add-subuids 100000-165535"),
        (True, True, "allows no user namespaces, without which only root can make a root disk (unshare: nothing"),
    ],
)
def test_a_user_who_may_have_no_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newuidmap: bool, listed: bool, words: str
) -> None:
    import pwd

    mmdebstrap(tmp_path, "#!/bin/sh\necho unshare: nothing doing >&2; exit 1\n")
    programs = tmp_path / "programs"
    if newuidmap:
        (programs / "newuidmap").symlink_to("/bin/true")
    (tmp_path / "ids").write_text(f"{pwd.getpwuid(os.geteuid()).pw_name}:100000:65536\n" if listed else "")
    monkeypatch.setattr(root_disk, "SUBORDINATES", (str(tmp_path / "ids"),))
    with pytest.raises(LguestError) as caught:
        root_disk.check_namespaces(f"{programs}:/bin" if newuidmap else str(programs))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def at_work(machine: Path) -> bool:
    """Whether what the program in mmdebstrap's place started still runs; it may be in another PID namespace."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"\0{machine}\0".encode() in process.read_bytes():
                return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_leaves_nothing(machine: Path, tmp_path: Path, number: signal.Signals) -> None:
    assert main(["fetch", KERNEL]) == 0
    sleeper = "sh -c 'sleep 1234; :' \"$CALLED\" & echo started >$CALLED.started; wait\n"
    mmdebstrap(tmp_path, MMDEBSTRAP + sleeper)
    with subprocess.Popen(
        [sys.executable, "-m", "lguest_py", "fetch", NAME], cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        until = time.monotonic() + 120
        while not Path(f"{machine}.started").exists():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(120) == (-number if number == signal.SIGKILL else 128 + number)
    while at_work(machine):  # who reaps an orphan takes some time
        assert time.monotonic() < until
        time.sleep(0.05)
    assert stock.find(NAME) is None
    if number == signal.SIGKILL:  # what it began lies there, and the next attempt takes it away
        mmdebstrap(tmp_path, MMDEBSTRAP + PACK)
        assert main(["fetch", NAME]) == 0
        assert stock.find(NAME)
        return
    assert left(tmp_path) == []


def test_the_mounts_of_this_machine_stay_as_they_are(machine: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    assert main(["fetch", NAME]) == 0
    assert Path("/proc/self/mountinfo").read_text() == before


def test_proxies_of_the_machine_are_passed_on(
    machine: Path, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "apt.conf").open("a") as file:
        file.write('Acquire::http::Proxy "http://127.0.0.1:9/";\n')
    script = MMDEBSTRAP + 'for word; do case $word in --aptopt=*) cp ${word#*=} "$CALLED.conf" ;; esac; done\n' + PACK
    mmdebstrap(tmp_path, script)
    assert main(["fetch", NAME]) == 0
    assert Path(f"{machine}.conf").read_text() == 'Acquire::http::Proxy "http://127.0.0.1:9/";\n'


def test_a_suite_of_another_source_is_not_taken(archive: Archive, machine: Path, tmp_path: Path) -> None:
    release = (archive.root / "dists/bookworm/Release").read_text()
    shutil.copytree(archive.root / "dists/bookworm", archive.root / "dists/trixie")
    (archive.root / "dists/trixie/Release").write_text(release.replace("bookworm", "trixie"))
    with (tmp_path / "sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{archive.root} trixie main\n")
    assert main(["fetch", NAME]) == 0
    assert Path(f"{machine}.sources").read_text() == f"deb file:{archive.root}/ bookworm main\n"
