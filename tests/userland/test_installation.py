# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian is installed onto an empty disk by Debian's own tools in a Guest, and the new system boots from that disk.

This is what Debian's installer does behind its dialogs: sfdisk, mkfs.ext4 and debootstrap, here from an archive at a
loopback address (tests/lab/packages_lab.py).
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from packages_lab import GATEWAY, SUITE, archive, install, served
from userland_lab import PATIENCE, Userland

from lguest_py import Disk, End, Machine
from lguest_py.hardware import Network
from lguest_py.kernels.stock import Kernel

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(5 * 3600),
    pytest.mark.skipif(not shutil.which("passt"), reason="needs passt"),
]
TOOLS = ("debootstrap", "fdisk", "e2fsprogs")
SYSTEM = ("systemd-sysv", "udev", "kmod", "iproute2")
LEAST = ("?priority(required)", "?essential", "apt", "usr-is-merged")  # what debootstrap's "minbase" is made of
LIMIT = 3 * 3600.0  # seconds for debootstrap
BYTES = 2 << 30
SECRET = "an installed secret"
# The rest of what an installer asks for.
SETTINGS = f"""\
echo 'root:{SECRET}' | chroot /target chpasswd
echo installed >/target/etc/hostname
echo '/dev/vda1 / ext4 errors=remount-ro 0 1' >/target/etc/fstab
cp -a /lib/modules /target/lib/
"""


def repository(folder: Path, debs: Path) -> Path:
    """The archive in the form that debootstrap reads: an index below dists/, named by a Release file."""
    index = folder / f"dists/{SUITE}/main/binary-i386"
    index.mkdir(parents=True)
    for deb in debs.iterdir():
        for name in {deb.name, unquote(deb.name)}:  # debootstrap asks for a name with "%3a" as it stands, apt quotes it
            (folder / name).symlink_to(deb)
    packed = gzip.compress((debs / "Packages").read_bytes())
    (index / "Packages.gz").write_bytes(packed)
    digest = f" {hashlib.sha256(packed).hexdigest()} {len(packed)} main/binary-i386/Packages.gz\n"
    release = f"Suite: stable\nCodename: {SUITE}\nArchitectures: i386\nComponents: main\nSHA256:\n{digest}"
    (folder / f"dists/{SUITE}/Release").write_text(release)
    return folder


def test_a_system_is_installed_onto_an_empty_disk(userland: Kernel, engine_name: str, tmp_path: Path) -> None:
    disk = tmp_path / "installed.img"
    with disk.open("wb") as file:
        file.truncate(BYTES)
    debs = archive("installation", userland, (*LEAST, *SYSTEM, *TOOLS), whole=True)
    with served(repository(tmp_path / "repository", debs)) as port:
        devices = [Network(), Disk(str(disk))]
        with Userland(engine=engine_name, limit=LIMIT + PATIENCE, devices=devices) as guest:
            install(guest, port, *TOOLS)
            guest.run("echo ',,L' | sfdisk -q /dev/vdb && udevadm settle && mkfs.ext4 -q /dev/vdb1")
            guest.run("mkdir /target && mount /dev/vdb1 /target")
            words = f"--no-check-gpg --variant=minbase --include={','.join(SYSTEM)}"
            guest.run(f"debootstrap {words} {SUITE} /target http://{GATEWAY}:{port}", LIMIT)
            guest.run(SETTINGS)
            guest.run("umount /target")
            guest.check_messages()
            release = guest.run("uname -r")
            assert guest.poweroff().outcome.end is End.POWERED_OFF
    engine: Any = engine_name
    installed = [Disk(str(disk))]
    words = "root=/dev/vda1 rw systemd.mask=serial-getty@hvc0.service"  # it reads from one console only
    with Machine("debian-6.1-686", engine=engine, command_line=words, devices=installed) as machine:
        console = machine.console
        console.expect("installed login: ", PATIENCE)
        console.sendline("root")
        console.expect("Password: ", PATIENCE)
        console.sendline(SECRET)
        console.expect(":~# ", PATIENCE)
        console.sendline("echo $(systemctl is-system-running --wait) $(uname -r) $(findmnt -no SOURCE,FSTYPE /)")
        console.expect(f"running {release} /dev/vda1 ext4", PATIENCE)
        console.sendline("dpkg --audit && test $(dpkg-query -W | wc -l) -gt 80 && echo com''plete")
        console.expect("complete", PATIENCE)
        console.sendline("systemctl poweroff")
        result = machine.wait(PATIENCE)
    assert (result.outcome.end, result.status) == (End.POWERED_OFF, 0)
