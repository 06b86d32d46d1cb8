# SPDX-License-Identifier: GPL-2.0-or-later
"""Get Debian packages of another architecture through apt's own client, from the mirrors that this machine uses.

apt works in a directory of its own, so neither root nor a change to the system is needed; sources, proxies and keys are
the system's, and apt checks signatures and checksums itself.  Source: apt.conf(5).  Read next: fetch.py.
"""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lguest_py.console.progress import Progress
from lguest_py.errors import LguestError
from lguest_py.files.descriptors import reports_too_many_open, too_many_open

CHECK_INTERVAL = 1.0  # seconds between two looks at the disk, at most
LEAST_FREE = 1 << 20  # bytes; with less the disk counts as full
CHUNK = 4096
LOCAL = "or name a local .deb in LGUEST_STOCK_DEB"
# Read after the system's own configuration.  Its hooks are cleared: they are for the system's packages.
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
# apt's messages on a host that it cannot reach: "apt-get update" then warns, and its exit status is 0.
_FAILED = re.compile(r"^[WE]: Failed to fetch \S+?://([^/\s]+)\S*\s+(\S.*)$", re.MULTILINE)
_NETWORK = re.compile(
    r"Could not (resolve|connect)|Unable to connect|Cannot initiate the connection|Connection (failed|refused|reset)"
    r"|timed out|[Tt]emporary failure|[Uu]nreachable|No route to host|Something wicked happened resolving"
)
_PROGRESS = re.compile(r"dlstatus:\d+:(\d+)")  # apt's README.progress-reporting: item, percent


class Apt:
    """apt for one architecture, with all that it keeps below ``root``, an absolute path."""

    def __init__(self, root: Path, architecture: str) -> None:
        if '"' in str(root) or "\\" in str(root):
            raise LguestError(f"{root} has a quotation mark or backslash in it: set XDG_CACHE_HOME to another place")
        for name in ("state/lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        configuration = CONFIGURATION.format(root=root, architecture=architecture)
        (root / "apt.conf").write_bytes(os.fsencode(configuration))
        self._root = root
        self._architecture = architecture
        self._source_error = ""  # what apt stderr of sources it could not read
        self._unreachable = ""  # a host that apt could not reach, and why

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, "-c", str(self._root / "apt.conf"), "-q", *arguments]
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            return subprocess.run(
                command, env=environment, text=True, errors="replace", capture_output=True,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise _no_program(program) from None

    def _run_long(self, what: str, *arguments: str, cwd: Path | None = None) -> tuple[int, str]:
        """Run apt-get, and show on a terminal how far it is; its exit status and its stderr."""
        reader, writer = os.pipe()
        with (
            Progress(what) as progress,
            open(reader, "rb", buffering=0),
            tempfile.TemporaryFile("w+", errors="replace") as stderr,
        ):
            try:
                options = ["-c", str(self._root / "apt.conf"), "-q", "-o", f"APT::Status-Fd={writer}"]
                process = subprocess.Popen(
                    ["apt-get", *options, *arguments], cwd=cwd, env={**os.environ, "LC_ALL": "C"}, pass_fds=(writer,),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                )  # fmt: skip
            except FileNotFoundError:
                raise _no_program("apt-get") from None
            finally:
                os.close(writer)
            try:
                for text in self._status(reader):
                    for percent in _PROGRESS.findall(text):
                        progress.say(f"{percent} %")
                process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise
            stderr.seek(0)
            return process.returncode, stderr.read()

    def _status(self, reader: int) -> Iterator[str]:
        """What apt writes to its status pipe.  Raises OSError when the disk is full: apt would retry without an end."""
        while True:
            if select.select([reader], [], [], CHECK_INTERVAL)[0]:
                data = os.read(reader, CHUNK)
                if not data:
                    return
                yield data.decode(errors="replace")
            if shutil.disk_usage(self._root).free < LEAST_FREE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._root))

    def update(self) -> None:
        """Read the sources' lists.  What cannot be read is an error only if a package is then missing."""
        status, stderr = self._run_long("reading package sources", "update")
        self._unreachable = _unreachable(stderr)
        if status:
            self._source_error = complaint(stderr)

    @property
    def left_out(self) -> list[str]:
        """What update() could not read of some source, or a source's host that it could not reach."""
        return [text for text in (self._source_error, self._unreachable) if text]

    def sources(self, suite: str) -> list[str]:
        """The sources that update() read of the Debian ``suite``, its updates and its security, as a sources.list has
        them.  Raises LguestError when the suite itself is not among them."""
        layout = "$(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)"
        found = self._run("apt-get", "indextargets", "--format", layout, "Created-By: Packages").stdout
        lines = [words for line in found.splitlines() if len(words := line.split()) == 4]
        wanted = [words for words in lines if words[0] in (suite, f"{suite}-updates", f"{suite}-security")]
        if not any(words[0] == suite for words in wanted):
            raise self._missing(f"{suite}:{self._architecture}")
        return [f"deb {uri} {release} {component}" for _, uri, release, component in wanted]

    def proxies(self) -> str:
        """The machine's proxies for packages, as lines of an apt.conf."""
        lines = self._run("apt-config", "dump").stdout.splitlines()
        return "".join(f"{line}\n" for line in lines if re.match(r"Acquire::.*[Pp]roxy.* \"[^\"]", line))

    def has_lists(self) -> bool:
        """Whether update() could read any source."""
        return any((self._root / "state/lists").glob("*Packages*"))

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
            raise self._missing(f"{_readable(pattern)}:{self._architecture}")
        return max(matches, key=lambda match: int(match[1]) if match.lastindex else 0)[0]

    def _missing(self, package: str) -> LguestError:
        """Why there is no ``package``: no host was reached, the sources are broken, or they do not have it."""
        if self._unreachable and not self.has_lists():
            return LguestError(
                f"apt cannot reach {self._unreachable}: "
                f"check this machine's network, and the proxy if it has one, {LOCAL}"
            )
        if self._source_error:
            return LguestError(f"apt cannot read this machine's package sources ({self._source_error}): retry, {LOCAL}")
        others = f", and {self._unreachable} cannot be reached" if self._unreachable else ""
        return LguestError(
            f"this machine's package sources have no {package}{others}: "
            f"add Debian 12's (bookworm) to /etc/apt/sources.list.d, {LOCAL}"
        )

    def download(self, package: str, into: Path) -> Path:
        """Download the package into the directory ``into``, checked; its file.  Raises LguestError."""
        before = set(into.glob("*.deb"))
        full_name = f"{package}:{self._architecture}"
        status, stderr = self._run_long(f"downloading {package}", "download", full_name, cwd=into)
        new = [path for path in into.glob("*.deb") if path not in before]
        if status or not new:
            if host := _unreachable(stderr):
                raise LguestError(f"apt cannot reach {host} for {package}: check this machine's network, {LOCAL}")
            raise LguestError(f"apt cannot download {package} ({complaint(stderr)}): try again later, {LOCAL}")
        return new[0]


def _readable(pattern: str) -> str:
    return re.sub(r"\(.*?\)", "N", pattern).replace("\\", "")


def _no_program(program: str) -> LguestError:
    return LguestError(f"{program} is not installed, and only apt can fetch packages: run this on a Debian, {LOCAL}")


def _unreachable(text: str) -> str:
    """A host that apt's stderr says it could not talk to, and why: "mirror.example (Could not resolve …)", or ""."""
    for host, reason in _FAILED.findall(text):
        if _NETWORK.search(reason):
            return f"{host} ({_one_line(reason)})"
    return ""


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def complaint(text: str) -> str:
    """What apt or dpkg stderr on stderr, in one line: its first error.  Raises DescriptorError, if it was that."""
    if reports_too_many_open(text):
        raise too_many_open()
    lines = [line.strip() for line in text.splitlines()]
    errors = [line[3:] for line in lines if line.startswith("E: ")] or [line for line in lines if line]
    first = errors[0] if errors else "no reason given"
    return _one_line(first)
