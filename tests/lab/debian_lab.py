# SPDX-License-Identifier: GPL-2.0-or-later
"""Minimal Debian systems for tests: directories to chroot into.

debootstrap makes one for each release, once; it is kept as a tarball in the user's cache folder.  pip in there uses the
settings of the pip here, as far as the environment has them: an index, a proxy and its certificate.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from lguest_py.files import caches

ROOT = Path(__file__).resolve().parents[2]
RELEASES = {"12": "bookworm", "13": "trixie"}
NOT_SOURCES = shutil.ignore_patterns(".git", ".venv", ".*_cache", "build", "_images", "_layouts.py", "__pycache__",
                                     ".hypothesis", "*.egg-info", "*.so", "_kvm.c")  # fmt: skip
CERTIFICATE = "/etc/pip-certificate.pem"
KEPT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "http_proxy", "https_proxy", "no_proxy")
ENTER = """\
set -e
cd "$1"
mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 shm dev/shm
shift
exec "$@"
"""


def missing() -> str:
    """Why there can be no such system here; empty where there can."""
    if os.geteuid() != 0:
        return "only root may make a Debian in a directory"
    lacking = [name for name in ("debootstrap", "unshare", "chroot") if not shutil.which(name)]
    return f"needs {', '.join(lacking)}" if lacking else ""


def tarball(release: str) -> Path:
    """The minimal system as a tar file, made if it is not there."""
    folder = caches.folder() / "debian"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{RELEASES[release]}.tar"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            made, aside = folder / "made", folder / "new.tar"
            shutil.rmtree(made, ignore_errors=True)
            subprocess.run(["debootstrap", "--variant=minbase", RELEASES[release], str(made)], check=True)
            for debris in made.glob("var/cache/apt/archives/*.deb"):
                debris.unlink()
            subprocess.run(["tar", "-C", str(made), "-cf", str(aside), "."], check=True)
            shutil.rmtree(made)
            aside.replace(kept)
    return kept


def pip_settings() -> dict[str, str]:
    """What pip in there needs in its environment, as here."""
    settings = {name: os.environ[name] for name in KEPT if name in os.environ}
    if "PIP_CERT" in os.environ:
        settings["PIP_CERT"] = CERTIFICATE
    return settings


class Debian:
    """One system, with the sources of lguest-py in /home/ada/source, which ada owns."""

    source = "/home/ada/source"

    def __init__(self, release: str, root: Path) -> None:
        self.root = root
        subprocess.run(["tar", "-C", str(root), "-xf", str(tarball(release))], check=True)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        if "PIP_CERT" in os.environ:
            shutil.copy(os.environ["PIP_CERT"], root / CERTIFICATE[1:])
        self.run("useradd", "--create-home", "--shell", "/bin/bash", "ada", check=True)
        shutil.copytree(ROOT, root / self.source[1:], ignore=NOT_SOURCES, symlinks=True)
        self.run("chown", "-R", "ada:", self.source, check=True)

    def run(self, *command: str, user: str = "root", check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in there, in the sources' directory; no process outlives it."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "dumb",
                       "HOME": "/root" if user == "root" else f"/home/{user}", **pip_settings()}  # fmt: skip
        shell = ["/bin/sh", "-c", 'cd "$0" 2>&-; exec "$@"', self.source]
        inside = ["chroot", f"--userspec={user}:", str(self.root), *shell]
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", ENTER, "sh", str(self.root)]
        return subprocess.run(
            [*enter, *inside, *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=check,
        )  # fmt: skip

    def close(self) -> None:
        """Delete it."""
        shutil.rmtree(self.root)


def add_certificate(source: Path, target: Path) -> None:
    """Copy a system's tarball with the certificate for pip in it."""
    shutil.copy(source, target)
    if "PIP_CERT" in os.environ:
        with tarfile.open(target, "a") as tar:
            tar.add(os.environ["PIP_CERT"], "." + CERTIFICATE)
