# SPDX-License-Identifier: GPL-2.0-or-later
"""A day's work in Debian 12 on its root disk: packages, ssh, databases that are killed, a compiler, a burden.

All that the Guest asks for comes from a loopback address here (tests/lab/packages_lab.py).  After each part the kernel
must not have complained.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from packages_lab import archive, downloaded, install, served
from userland_lab import PATIENCE, Userland

from lguest_py.hardware import Network, Publish
from lguest_py.kernels.stock import Kernel

pytestmark = [
    pytest.mark.timeout(5 * 3600),
    pytest.mark.skipif(not shutil.which("passt") or not shutil.which("ssh"), reason="needs passt and ssh"),
]
SHORT = ("dropbear", "sqlite3")
LONG = {
    "compiler": ("openssh-server", "gcc", "make", "libc6-dev", "bzip2"),
    "burden": ("stress-ng",),
    "database": ("postgresql-15",),
}
SOURCES = {"compiler": ("bzip2", "zlib")}
LIMIT = 4 * 3600.0  # seconds for one of the long ones
STRESS_SECONDS = 1800
STRESSORS = (
    "--cpu 1 --matrix 1 --vm 1 --vm-bytes 64M --mmap 1 --mmap-bytes 16M --fork 2 --kill 1 --sigsegv 1 --sigq 1 "
    "--timer 1 --timer-freq 1000 --itimer 1 --hdd 1 --hdd-bytes 32M --dentry 1 --dentries 256 --pipe 1 --switch 1"
)
# Tells each number as soon as it is committed, so that who reads the console knows what may never be lost.
WRITER = """\
sqlite3 work.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(n INTEGER PRIMARY KEY, what BLOB)'
n=0
while n=$((n+1)); do
    sqlite3 work.db "PRAGMA synchronous=FULL; INSERT INTO t VALUES($n, randomblob(20000))" && echo "sure $n."
done
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def key_pair(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A key for ssh, and its public half."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    yield key, key.with_suffix(".pub").read_text().strip()


def ssh_words(port: int, key: Path, *words: str) -> list[str]:
    """A command line of ssh through the published port."""
    options = "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"
    given = [word for option in options for word in ("-o", option)]
    return ["ssh", "-F", "none", *given, "-i", str(key), "-p", str(port), "root@127.0.0.1", *words]


def ssh(port: int, key: Path, command: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command in the Guest."""
    words = ssh_words(port, key, command)
    return subprocess.run(words, input=data, capture_output=True, timeout=PATIENCE, check=False)


def interrupt(port: int, key: Path) -> None:
    """Ctrl-C at a terminal of ssh ends the program there and not the shell."""
    with subprocess.Popen(
        ssh_words(port, key, "-tt"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(b"sh -c 'echo beg\"\"un; exec sleep 100000'\r")
            process.stdin.flush()
            heard = b""
            while b"begun" not in heard:
                piece = process.stdout.read1(4096)  # type: ignore[attr-defined]
                assert piece, heard
                heard += piece
            process.stdin.write(b"\x03exit 5\r")
            process.stdin.flush()
            assert process.wait(PATIENCE) == 5
        finally:
            process.kill()


def check_ssh(guest: Userland, port: int, tmp_path: Path) -> None:
    """With the key one is in, and data arrive whole; without it one is not."""
    with key_pair(tmp_path) as (key, public):
        guest.run(f"mkdir -p -m 700 /root/.ssh; echo '{public}' >/root/.ssh/authorized_keys")
        data = os.urandom(1 << 20)
        answer = ssh(port, key, "cat; uname -m >&2; exit 7", data)
        assert (answer.returncode, answer.stdout == data) == (7, True), answer.stderr
        assert b"i686" in answer.stderr
        interrupt(port, key)
        guest.run("rm /root/.ssh/authorized_keys")
        assert ssh(port, key, "true").returncode == 255
    guest.check_messages()


def network(port: int) -> Network:
    return Network(publish=(Publish(port, 22, address="127.0.0.1"),))


@pytest.mark.nightly
def test_packages_ssh_and_a_database_whose_machine_is_killed(
    userland: Kernel, engine_name: str, tmp_path: Path
) -> None:
    disk, port = tmp_path / "kept.img", free_port()
    with served(archive("short", userland, SHORT)) as files:
        with Userland(engine=engine_name, root=disk, devices=[network(port)]) as guest:
            install(guest, files, *SHORT)
            assert guest.run("sqlite3 :memory: 'select 6 * 7'") == "42"
            check_ssh(guest, port, tmp_path)
            guest.run("sync")
            console = guest.machine.console
            console.sendline("cd /root; bash <<'END'\n" + WRITER.replace("\n", "\r") + "END")
            console.expect("sure 20.", PATIENCE)
            time.sleep(1)
            sure = int(re.findall(r"sure (\d+)\.", console.output)[-1])
        # Leaving the block kills the engine as a power cut does.
        with Userland(engine=engine_name, root=disk) as guest:
            assert guest.run("sqlite3 /root/work.db 'PRAGMA integrity_check'") == "ok"
            assert int(guest.run("sqlite3 /root/work.db 'SELECT count(*) FROM t'")) >= sure
            assert int(guest.run("sqlite3 /root/work.db 'SELECT max(n) FROM t'")) >= sure
            assert guest.run("dpkg --audit; dpkg -V sqlite3 dropbear-bin") == ""
            guest.check_messages()
            assert guest.poweroff().status == 0
    check_file_system(disk)


def check_file_system(disk: Path) -> None:
    done = subprocess.run(["/sbin/e2fsck", "-fn", str(disk)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@contextmanager
def at_work(system: Kernel, engine: str, disk: Path, name: str) -> Iterator[tuple[Userland, int, Path]]:
    """The system with the packages of the archive ``name``, its published ssh port, and the archive; then its end."""
    port = free_port()
    packages = archive(name, system, LONG[name], SOURCES.get(name, ()))
    with (
        served(packages) as files,
        Userland(engine=engine, root=disk, devices=[network(port)], memory="512M", limit=LIMIT) as guest,
    ):
        install(guest, files, *LONG[name])
        if name in SOURCES:
            fetch_sources(guest, packages, files, SOURCES[name])
        yield guest, port, packages
        guest.check_messages()
        assert guest.run("systemctl --failed --no-legend --plain") == ""
        assert guest.poweroff().status == 0
    check_file_system(disk)


def fetch_sources(guest: Userland, packages: Path, files: int, names: Sequence[str]) -> None:
    """Unpack the upstream sources of these packages into /root/NAME."""
    for name in names:
        source = next(path.name for path in packages.glob(f"{name}_*.orig.tar.*") if path.suffix != ".asc")
        downloaded(guest, files, source)
        guest.run(f"cd /root && mkdir {name} && tar -C {name} --strip-components=1 -xf {source}")


@pytest.mark.nightly
def test_programs_are_compiled_and_pass_their_own_tests(userland: Kernel, engine_name: str, tmp_path: Path) -> None:
    with at_work(userland, engine_name, tmp_path / "kept.img", "compiler") as (guest, port, _):
        check_ssh(guest, port, tmp_path)
        for name, build in (
            ("bzip2", "make -s bzip2 bzip2recover && make -s test"),
            ("zlib", "./configure >/dev/null && make -s && make -s check"),
        ):
            assert "FAILED" not in guest.run(f"cd /root/{name} && {{ {build}; }}", LIMIT)
            guest.check_messages()


@pytest.mark.nightly
def test_a_burden_for_thirty_minutes(userland: Kernel, engine_name: str, tmp_path: Path) -> None:
    with at_work(userland, engine_name, tmp_path / "kept.img", "burden") as (guest, *_):
        seconds = STRESS_SECONDS if engine_name == "tcg" else 120
        guest.run(f"cd /var/tmp && stress-ng {STRESSORS} --verify --metrics-brief --timeout {seconds}", LIMIT)


@pytest.mark.nightly
def test_a_database_whose_server_is_killed_under_load(userland: Kernel, engine_name: str, tmp_path: Path) -> None:
    with at_work(userland, engine_name, tmp_path / "kept.img", "database") as (guest, *_):
        kill_postgresql(guest)


def kill_postgresql(guest: Userland) -> None:
    """A database under load whose server is killed: it recovers, and pgbench's sums agree."""
    guest.run("cd /")  # postgres may not enter /root, and says so
    guest.run("systemctl start postgresql && until su postgres -c 'psql -qc \"select 1\"'; do sleep 1; done")
    guest.run("su postgres -c 'createdb work && pgbench -qi -s 1 work'")
    guest.run("(su postgres -c 'pgbench -c 4 -T 3600 work' >/dev/null 2>&1 &)")
    guest.run("sleep 60; pkill -9 -u postgres; sleep 1")
    guest.run("systemctl restart postgresql@15-main && until su postgres -c 'psql -qc \"select 1\"'; do sleep 1; done")
    columns = {"accounts": "abalance", "branches": "bbalance", "tellers": "tbalance", "history": "delta"}
    sums = " union all ".join(f"select sum({column}) from pgbench_{table}" for table, column in columns.items())
    found = guest.run(f"su postgres -c \"psql -qAtc '{sums}' work\"").split()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert int(guest.run("su postgres -c \"psql -qAtc 'select count(*) from pgbench_history' work\"")) > 0
    guest.run("su postgres -c '/usr/lib/postgresql/15/bin/pg_amcheck --install-missing work'")
    guest.check_messages()
