# SPDX-License-Identifier: GPL-2.0-or-later
"""Get a distribution's kernel into the cache (lguest_py/kernels/stock.py has the files of one).

It is unpacked beside its place and renamed when it is complete, by one process at a time.
Read next: lguest_py/kernels/apt.py, where packages come from; lguest_py/kernels/mkinitrd.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lguest_py.errors import LguestError, UsageError
from lguest_py.files.descriptors import check, reports_too_many_open, too_many_open
from lguest_py.kernels.apt import Apt, complaint
from lguest_py.kernels.stock import ROOT, STOCK, Kernel, find, kernels, make_initrd, refresh, write_record

Say = Callable[[str], None]
LOCAL = "LGUEST_STOCK_DEB"
ARCHITECTURE = "i386"
BUSYBOX = "busybox-static"


def fetch(name: str, say: Say, *, again: bool = False) -> Kernel:
    """The kernel ``name``, fetched unless it is there already.  Raises LguestError."""
    if name not in STOCK:
        raise UsageError(f"{name!r} cannot be fetched: choose from {', '.join(STOCK)}")
    kernel = fetch(STOCK[name].kernel, say, again=again) if STOCK[name].suite else None
    local = [str(Path(path).absolute()) for path in os.environ.get(LOCAL, "").split(":") if path]
    try:
        with _locked(kernels(), f".lock.{name}" if kernel else ".lock", say):
            found = find(name)
            if found and not again and (not local or found.source == ":".join(local)):
                if not found.root_is_old:
                    say(f"{name} is already in the cache: {found.package}")
                    return refresh(found)
                say(f"the root disk of {name} was made by another version of lguest-py: it is made anew")
            work = kernels() / f".{name}"
            shutil.rmtree(work, ignore_errors=True)
            try:
                if kernel:
                    _fill_system(name, work, kernel, say)
                else:
                    _fill(name, work, local, say)
                _replace(work / "new", kernels() / name)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        check(error)
        where = f" {error.filename}" if error.filename else ""
        first = "make room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise LguestError(
            f"{name} cannot be written to the cache{where} ({error.strerror}): "
            f"{first}set XDG_CACHE_HOME to another directory"
        ) from None
    done = find(name)
    if not done:
        raise LguestError(f"{name} was fetched, but files are missing: try again")
    return done


@contextmanager
def _locked(directory: Path, name: str, say: Say) -> Iterator[None]:
    """One process at a time.  A system has a lock of its own, as it takes long."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / name, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another lguest-py that is fetching")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(new: Path, place: Path) -> None:
    if place.exists():
        old = new.parent / "old"
        place.rename(old)
    new.rename(place)


def _fill(name: str, work: Path, local: list[str], say: Say) -> None:
    """Make the kernel's files in ``work``/new."""
    new = work / "new"
    new.mkdir(parents=True)
    source = _Source(work, local, say)
    kernel = source.get(0, STOCK[name].package)
    kernel_name = _identity(kernel)
    if not re.fullmatch(STOCK[name].package, kernel_name.split()[0]):
        raise LguestError(
            f"{kernel} is {kernel_name}, which is not {name}: "
            f"set {LOCAL} to {STOCK[name].about}, or unpack it (dpkg-deb -x) and boot its vmlinuz by its path"
        )
    say(f"unpacking {kernel_name}")
    _unpack(kernel, new, _kernel_file)
    busybox = source.get(1, BUSYBOX)
    busybox_name = _identity(busybox)
    _unpack(busybox, new, _busybox_file)
    _check_unpacked(new, ("vmlinuz", "copyright"), kernel_name)
    _check_unpacked(new, ("busybox", "copyright-busybox"), busybox_name)
    (new / "modules").mkdir(exist_ok=True)

    write_record(Kernel(name, new, kernel_name, busybox_name, ":".join(local) or "apt", make_initrd(new)))


def _fill_system(name: str, work: Path, kernel: Kernel, say: Say) -> None:
    """Make the files of a system in ``work``/new: those of its kernel, and a root disk with the kernel's modules."""
    from lguest_py.kernels import root_disk

    new = work / "new"
    shutil.copytree(kernel.directory, new, copy_function=_link)
    suite = STOCK[name].suite
    apt = Apt(work / "apt", ARCHITECTURE)
    say("reading this machine's package sources (apt-get update)")
    apt.update()
    sources = apt.sources(suite)
    for trouble in apt.left_out:
        say(f"a package source is left out: {trouble}")
    say(f"making the root disk of {name} (mmdebstrap, mke2fs): some minutes")
    root_disk.make(new / ROOT, new / "modules", sources, suite, apt.proxies())
    write_record(replace(kernel, name=name, directory=new, root_edition=root_disk.edition()))


def _link(source: str, target: str) -> None:
    """Both names are the same file from then on; no file of a kernel is ever changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


# --- packages ------------------------------------------------------------------------------------------------------


class _Source:
    """Where packages come from: the local files that were given, then apt."""

    def __init__(self, work: Path, local: list[str], say: Say) -> None:
        self._work, self._local, self._say = work, local, say
        self._apt: Apt | None = None

    def get(self, number: int, pattern: str) -> Path:
        """The local package of that number, or by apt the newest whose name matches ``pattern``."""
        if number < len(self._local):
            return Path(self._local[number])
        if not self._apt:
            self._apt = Apt(self._work / "apt", ARCHITECTURE)
            self._say("reading this machine's package sources (apt-get update)")
            self._apt.update()
        package = self._apt.newest(pattern)
        self._say(f"downloading {package}:{ARCHITECTURE} (apt-get download)")
        return self._apt.download(package, self._work)


def _deb(*arguments: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(["dpkg-deb", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise LguestError("dpkg-deb is not installed, and unpacks Debian's packages: install dpkg") from None


def _identity(deb: Path) -> str:
    """ "name version" of a package.  Raises LguestError when it is none for 32-bit x86."""
    process = _deb("--show", "--showformat=${Package} ${Version} ${Architecture}", str(deb))
    out, errors = process.communicate()
    if reports_too_many_open(errors.decode(errors="replace")):
        raise too_many_open()
    words = out.decode(errors="replace").split()
    if process.returncode or len(words) != 3:
        raise LguestError(f"{deb} is not a readable Debian package: set {LOCAL} to one")
    if words[2] != ARCHITECTURE:
        raise LguestError(f"{deb} is a package for {words[2]}: set {LOCAL} to one for {ARCHITECTURE}")
    return " ".join(words[:2])


def _kernel_file(path: PurePosixPath) -> str | None:
    """Where a file of the kernel's package goes in the cache."""
    parts = path.parts[1:] if path.parts[:1] == ("usr",) and path.parts[1:2] == ("lib",) else path.parts
    if len(parts) == 2 and parts[0] == "boot" and parts[1].startswith("vmlinuz-"):
        return "vmlinuz"
    if len(parts) == 2 and parts[0] == "boot" and parts[1].startswith("config-"):
        return "config"
    if parts[:2] == ("lib", "modules") and len(parts) > 2:
        return "/".join(parts[1:])
    if parts[:3] == ("usr", "share", "doc") and parts[-1] == "copyright":
        return "copyright"
    return None


def _busybox_file(path: PurePosixPath) -> str | None:
    if str(path) in ("bin/busybox", "usr/bin/busybox"):
        return "busybox"
    return "copyright-busybox" if path.parts[:3] == ("usr", "share", "doc") and path.name == "copyright" else None


def _unpack(deb: Path, into: Path, choose: Callable[[PurePosixPath], str | None]) -> None:
    """Write the package's regular files, as far as chosen, below ``into``."""
    process = _deb("--fsys-tarfile", str(deb))
    assert process.stdout
    try:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                name = choose(path) if member.isreg() and ".." not in path.parts else None
                source = archive.extractfile(member) if name else None
                if name and source:
                    (into / name).parent.mkdir(parents=True, exist_ok=True)
                    with open(into / name, "wb") as target:
                        shutil.copyfileobj(source, target)
    except tarfile.TarError as error:
        raise LguestError(f"{deb} is damaged ({error}): get it anew") from None
    finally:
        process.stdout.close()
        errors = process.communicate()[1] if process.stderr and not process.stderr.closed else b""
    if process.returncode:
        raise LguestError(f"{deb} cannot be unpacked ({complaint(errors.decode(errors='replace'))}): get it anew")


def _check_unpacked(new: Path, files: tuple[str, ...], package: str) -> None:
    for file in files:
        if not (new / file).is_file():
            raise LguestError(f"{package} has no {file} in it: set {LOCAL} to a kernel's package, then a {BUSYBOX}'s")
