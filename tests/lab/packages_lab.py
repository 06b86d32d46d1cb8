# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian archive of this machine's own for the Guest of tests/lab/userland_lab.py: packages and sources by name.

apt downloads them once with all that they need beside what the root disk has, and checks them; they are kept in the
user's cache folder.  The Guest gets them by HTTP from a loopback address here, and talks to nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from userland_lab import Userland

from lguest_py.files import caches
from lguest_py.kernels.apt import Apt
from lguest_py.kernels.stock import Kernel

GATEWAY = "10.0.2.2"
LIMIT = 4 * 3600.0  # seconds for an installation
ARCHITECTURE, SUITE = "i386", "bookworm"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends"


def archive(
    name: str, system: Kernel, packages: Sequence[str], sources: Sequence[str] = (), whole: bool = False
) -> Path:
    """The folder of the archive ``name``, made if it is not there or was made of other words.

    ``whole``: with what the root disk has already, too.  Raises LguestError or CalledProcessError.
    """
    assert system.root
    folder = caches.folder() / "debian"
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"packages-{name}"
    wanted = repr((packages, sources, whole, system.root.stat().st_mtime_ns))
    with (folder / f"lock-{name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "made-of").exists() or (made / "made-of").read_text() != wanted:
            work = folder / f"new-{name}"
            shutil.rmtree(work, ignore_errors=True)
            _fill(work, None if whole else system.root, packages, sources)
            (work / "files/made-of").write_text(wanted)
            shutil.rmtree(made, ignore_errors=True)
            (work / "files").rename(made)
            shutil.rmtree(work)
    return made


def _fill(work: Path, image: Path | None, packages: Sequence[str], sources: Sequence[str]) -> None:
    """Download into ``work``/files what ``image`` has not, and write the index."""
    (work / "files").mkdir(parents=True)
    apt = Apt(work / "apt", ARCHITECTURE)
    apt.update()
    lines = apt.sources(SUITE)
    lines += [line.replace("deb ", "deb-src ", 1) for line in lines] if sources else []
    (work / "sources.list").write_text("".join(f"{line}\n" for line in lines))
    if image:
        status = ["/sbin/debugfs", "-R", "cat /var/lib/dpkg/status", str(image)]
        (work / "apt/status").write_bytes(subprocess.run(status, check=True, capture_output=True).stdout)
    common = ["apt-get", "-q", "-c", str(work / "apt/apt.conf"), "-o", f"Dir::Etc::sourcelist={work}/sources.list"]
    common += ["-o", "Dir::Etc::sourceparts=/dev/null", "-o", "APT::Sandbox::User=root"]

    def run(*words: str) -> None:
        environment = {**os.environ, "LC_ALL": "C"}
        subprocess.run([*common, *words], check=True, env=environment, cwd=work / "files", capture_output=True)

    run("update")
    run("install", "-y", "--no-install-recommends", "--download-only", *packages)
    if sources:
        run("source", "--download-only", *sources)
    index = ""
    for deb in sorted((work / "apt/cache/archives").glob("*.deb")):
        shutil.copy(deb, work / "files")
        control = subprocess.run(["dpkg-deb", "-f", str(deb)], check=True, capture_output=True, text=True).stdout
        data = deb.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        index += f"{control.strip()}\nFilename: ./{deb.name}\nSize: {len(data)}\nSHA256: {digest}\n\n"
    (work / "files/Packages").write_text(index)


def install(guest: Userland, port: int, *packages: str) -> None:
    """Install packages from the archive at ``port`` of the Host's loopback, which is the Guest's gateway."""
    guest.run("until ip -4 address show eth0 | grep -q inet; do sleep 1; done")
    source = f"deb [trusted=yes] http://{GATEWAY}:{port} ./"
    guest.run(f"rm -f /etc/apt/sources.list.d/*; echo '{source}' >/etc/apt/sources.list")
    guest.run("apt-get -q update")
    guest.run(f"{INSTALL} {' '.join(packages)}", LIMIT)
    guest.check_messages()


def downloaded(guest: Userland, port: int, name: str) -> None:
    """Get a file of the archive into /root."""
    guest.run(f"cd /root && /usr/lib/apt/apt-helper download-file http://{GATEWAY}:{port}/{name} {name}")


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """A port of the loopback address that gives the files in ``folder``."""
    handler = partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
