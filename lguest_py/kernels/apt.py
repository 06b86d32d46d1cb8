# SPDX-License-Identifier: GPL-2.0-or-later
"""Get Debian packages of another architecture through apt's own client, from the mirrors that this machine uses.

apt works in a directory of its own, so neither root nor a change to the system is needed; sources, proxies and keys are
the system's, and apt checks signatures and checksums itself.  Source: apt.conf(5).  Read next: fetch.py.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from lguest_py.errors import LguestError

LOCAL = "or name a local .deb in LGUEST_STOCK_DEB"
# Read behind the system's own configuration.  What that has its hooks do is not for us.
CONFIGURATION = """\
#clear APT::Architectures;
#clear APT::Update;
#clear DPkg;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "{root}";
"""


class Apt:
    """apt for one architecture, with all that it keeps below ``root``, an absolute path."""

    def __init__(self, root: Path, architecture: str) -> None:
        if '"' in str(root) or "\\" in str(root):
            raise LguestError(f"{root} has a quotation mark or backslash in it: set XDG_CACHE_HOME to another place")
        for name in ("state/lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        (root / "apt.conf").write_text(CONFIGURATION.format(root=root, architecture=architecture))
        self._root = root
        self._architecture = architecture
        self._trouble = ""  # what apt said of sources it could not read

    def _run(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [program, "-c", str(self._root / "apt.conf"), "-q", *arguments]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            return subprocess.run(
                command, cwd=cwd, env=environment, text=True, errors="replace", capture_output=True,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise LguestError(f"{program} is not here, and only apt can fetch: do it on a Debian, {LOCAL}") from None

    def update(self) -> None:
        """Read the sources' lists.  What cannot be read is told only if a package is then missing."""
        done = self._run("apt-get", "update")
        if done.returncode:
            self._trouble = complaint(done.stderr)

    def _search(self, pattern: str) -> list[str]:
        """The names of the packages for our architecture.  From apt 3 on a search may find other ones, too."""
        lines = self._run("apt-cache", "search", "--names-only", pattern).stdout.splitlines()
        found = [f"{line.partition(' ')[0]}:{self._architecture}" for line in lines]
        stanzas = self._run("apt-cache", "show", *found).stdout if found else ""
        return re.findall(r"^Package: (\S+)$", stanzas, re.MULTILINE)

    def newest(self, pattern: str) -> str:
        """The package whose name matches ``pattern``; of several, the one with the highest number as its first group.

        The pattern is for apt (POSIX, extended) and for Python.  Raises LguestError when there is none.
        """
        matches = [match for name in self._search(f"^{pattern}$") if (match := re.fullmatch(pattern, name))]
        if not matches:
            if self._trouble:
                raise LguestError(f"apt cannot read this machine's package sources ({self._trouble}): retry, {LOCAL}")
            raise LguestError(
                f"this machine's package sources have no {_readable(pattern)}:{self._architecture}: "
                f"add Debian 12's (bookworm) to /etc/apt/sources.list.d, {LOCAL}"
            )
        return max(matches, key=lambda match: int(match[1]) if match.lastindex else 0)[0]

    def download(self, package: str, into: Path) -> Path:
        """Download the package into the directory ``into``, checked; its file.  Raises LguestError."""
        before = set(into.glob("*.deb"))
        done = self._run("apt-get", "download", f"{package}:{self._architecture}", cwd=into)
        new = [path for path in into.glob("*.deb") if path not in before]
        if done.returncode or not new:
            raise LguestError(f"apt cannot download {package} ({complaint(done.stderr)}): try again later, {LOCAL}")
        return new[0]


def _readable(pattern: str) -> str:
    return re.sub(r"\(.*?\)", "N", pattern).replace("\\", "")


def complaint(text: str) -> str:
    """What apt or dpkg said on stderr, in one line: its first error."""
    lines = [line.strip() for line in text.splitlines()]
    errors = [line[3:] for line in lines if line.startswith("E: ")] or [line for line in lines if line]
    first = errors[0] if errors else "no reason given"
    return " ".join("".join(c if c.isprintable() else " " for c in first).split())
