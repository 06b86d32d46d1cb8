# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian archive in a directory, for tests of ``lguest-py fetch``: packages, index, apt configuration."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from imagewriter import ElfFile, Part

from lguest_py.cli import main
from lguest_py.kernels import stock

NAME = "debian-6.1-686"
BUSYBOX = ElfFile((Part(0x8048000, b"\x90" * 64),)).bytes()
KERNEL = "linux-image-6.1.0-{}-686"

pytestmark = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="no apt here, which is what fetches"
)


class Archive:
    """A Debian archive in a directory: packages, and the index that apt reads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir()
        self.index = ""

    def add(self, package: str, files: dict[str, bytes], architecture: str = "i386", version: str = "1.2-3") -> Path:
        tree = self.root / "tree"
        control = f"Package: {package}\nVersion: {version}\nArchitecture: {architecture}\n"
        control += "Maintainer: nobody <nobody@localhost>\nDescription: a test\n"
        for name, data in {**files, "DEBIAN/control": control.encode()}.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)
        deb = self.root / f"{package}_{version.replace(':', '%3a')}_{architecture}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", str(tree), str(deb)]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(tree)
        data = deb.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        self.index += f"{control}Filename: ./{deb.name}\nSize: {len(data)}\nSHA256: {digest}\n\n"
        (self.root / "Packages").write_text(self.index)
        return deb

    def kernel(self, number: int, **more: Any) -> Path:
        package = KERNEL.format(number)
        files = {
            f"boot/vmlinuz-6.1.0-{number}-686": b"kernel %d" % number,
            f"boot/config-6.1.0-{number}-686": b"CONFIG_X86_32=y\n",
            f"lib/modules/6.1.0-{number}-686/kernel/lib/crc8.ko": b"module",
            f"usr/share/doc/{package}/copyright": b"GPL-2",
            f"usr/share/doc/{package}/changelog.gz": b"x",
        }
        return self.add(package, files, **more)

    def busybox(self) -> Path:
        files = {"bin/busybox": BUSYBOX, "usr/share/doc/busybox-static/copyright": b"GPL-2 too"}
        return self.add("busybox-static", files, version="1:1.35.0-4")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """The only source that apt knows; and an empty cache."""
    made = Archive(tmp_path / "archive")
    for number in (9, 50, 49):
        made.kernel(number)
    made.kernel(51, architecture="amd64")
    made.add("linux-image-6.1.0-99-686-pae", {"boot/vmlinuz": b"not this"})
    made.add("linux-image-6.1.0-99-686-dbg", {"boot/vmlinuz": b"nor this"})
    made.busybox()
    trust(made, tmp_path, monkeypatch, "[trusted=yes] ")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache dir"))
    monkeypatch.delenv("LGUEST_STOCK_DEB", raising=False)
    return made


def trust(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    (tmp_path / "sources.list").write_text(f"deb {option}file:{archive.root} ./\n")
    (tmp_path / "none").mkdir(exist_ok=True)
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{tmp_path}/none";\n'
        'APT::Sandbox::User "root";\n'  # the user that root's apt becomes may not read here
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))


def left_behind() -> list[str]:
    """What lies in the directory of kernels."""
    return sorted(path.name for path in stock.kernels().iterdir()) if stock.kernels().exists() else []


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 1) -> str:
    """Fetch what cannot be fetched; the one line on stderr that says why."""
    assert main(["fetch", *(arguments or (NAME,))]) == status
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("lguest-py: ")
    assert error.isprintable()
    assert set(left_behind()) <= {".lock"}
    return error
