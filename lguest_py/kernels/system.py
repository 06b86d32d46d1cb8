# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Debian on a Guest's root disk gets beside its packages: settings, and a login on both consoles.

A Guest has no display, no firmware to write to, and often an emulated CPU: units for what is not there are masked.
All of it is in /etc, and each file says by whom it was made.  Source: systemd.unit(5), agetty(8), interfaces(5).
Read next: root_disk.py, which makes the disk.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

HOSTNAME = "debian"
LABEL = "root"  # of the file system
CONSOLES = "hvc0", "ttyS0"
_UNITS = "etc/systemd/system"
# Beside those that are essential.  Each poweroff asks logind by dbus; nothing else does, so it starts them (FINISH).
PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "kmod", "procps", "iproute2", "ifupdown", "udhcpc", "iputils-ping"),
    *("ca-certificates", "less", "nano", "e2fsprogs"),
)
MASKED = (
    *("getty@tty1.service", "getty-static.service"),  # no display
    *("systemd-update-utmp-runlevel.service", "systemd-update-utmp.service"),
    *("systemd-pstore.service", "systemd-repart.service", "systemd-boot-system-token.service"),  # no firmware's memory
    *("dev-hugepages.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount"),
    *("sys-kernel-tracing.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-journald-audit.socket"),
    *("systemd-ask-password-console.path", "systemd-ask-password-wall.path", "systemd-initctl.socket"),
    *("modprobe@drm.service", "networking.service", "ifupdown-pre.service"),  # a card is brought up when udev finds it
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "systemd-network-generator.service"),
    *("systemd-remount-fs.service", "systemd-random-seed.service", "dev-mqueue.mount"),  # the initrd, virtio-rng
)
# Each is a program that runs before the first unit.
GENERATORS = (
    *("systemd-cryptsetup-generator", "systemd-debug-generator", "systemd-getty-generator"),
    *("systemd-gpt-auto-generator", "systemd-hibernate-resume-generator", "systemd-integritysetup-generator"),
    *("systemd-rc-local-generator", "systemd-run-generator", "systemd-system-update-generator"),
    "systemd-veritysetup-generator",
)
# A login without a password, on the consoles alone: root has no password, so ssh and su want a key.  The console that
# the kernel's command line names last shows it at once, another one after the Enter key.
GETTY = """\
# By lguest-py: a login on a console of the Guest, as root and without a password.  For one with a password: passwd,
# then put "/sbin/agetty -o '-p -- \\\\u' --keep-baud 115200,57600,38400,9600 - $TERM" into ExecStart.
[Unit]
Description=Login on %I
Documentation=man:agetty(8)
After=systemd-user-sessions.service getty-pre.target
Before=getty.target
IgnoreOnIsolate=yes
Conflicts=rescue.service
Before=rescue.service
ConditionPathExists=/dev/%I

[Service]
ExecStart=-/bin/sh -c 'read -r all </sys/class/tty/console/active; \\
    [ "$${all##* }" = %I ] || wait=--wait-cr; \\
    exec /sbin/agetty --autologin root -o "-p -f -- \\\\\\\\u" $$wait --noclear --keep-baud 115200,38400,9600 - $TERM'
Type=simple
Restart=always
UtmpIdentifier=%I
StandardInput=tty
StandardOutput=tty
TTYPath=/dev/%I
TTYReset=yes
TTYVHangup=yes
IgnoreSIGPIPE=no
SendSIGHUP=yes

[Install]
WantedBy=getty.target
"""
# Of the kernel's devices udev need know those that a rule or a program looks for.  Each of the others costs a process.
TRIGGER = """\
# By lguest-py: the drivers of a Guest's devices are loaded already, and a virtual terminal has no display.
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=net --subsystem-match=block \\
    --subsystem-match=input --subsystem-match=misc --subsystem-match=rtc --subsystem-match=virtio-ports
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=tty --sysname-match=ttyS0 --sysname-match=hvc*
"""
# sulogin asks for root's password, and where root has none it gives no shell unless it is told to.
RESCUE = """\
# By lguest-py: root has no password, and whoever is at a console is root anyway.
[Service]
Environment=SYSTEMD_SULOGIN_FORCE=1
"""
FILES = {
    "etc/hostname": f"{HOSTNAME}\n",
    "etc/hosts": f"127.0.0.1\tlocalhost\n127.0.1.1\t{HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    "etc/fstab": "# By lguest-py.  The initrd mounts the root disk.\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/machine-id": "",  # systemd makes one at the first boot
    "etc/network/interfaces": "# By lguest-py: a card gets its address by DHCP as soon as it is there.\n"
    "auto lo\niface lo inet loopback\n\nallow-hotplug eth0\niface eth0 inet dhcp\n",
    "etc/modprobe.d/lguest-py.conf": "# By lguest-py: a Guest has no loudspeaker.\nblacklist pcspkr\n",
    "etc/systemd/system/serial-getty@.service": GETTY,
    "etc/systemd/system/systemd-udev-trigger.service.d/lguest-py.conf": TRIGGER,
    **{f"{_UNITS}/{unit}.service.d/lguest-py.conf": RESCUE for unit in ("rescue", "emergency")},
    "etc/systemd/system.conf.d/lguest-py.conf": "# By lguest-py.\n[Manager]\nDefaultTimeoutStopSec=30s\n",
}
LINKS = {
    **{f"etc/systemd/system/{unit}": "/dev/null" for unit in MASKED},
    **{f"etc/systemd/system-generators/{name}": "/dev/null" for name in GENERATORS},
    "etc/systemd/network/99-default.link": "/dev/null",  # a card keeps the name eth0
    "etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
    **{
        f"{_UNITS}/getty.target.wants/serial-getty@{name}.service": f"/{_UNITS}/serial-getty@.service"
        for name in CONSOLES
    },
}
# Runs on the new system's root directory, $1, when all packages and the files above are there.
FINISH = """\
set -e
cd "$1"
rm -f lib/systemd/system/multi-user.target.wants/dbus.service
rm -f lib/systemd/system/multi-user.target.wants/systemd-logind.service
rm -f etc/resolv.conf etc/apt/apt.conf.d/99mmdebstrap etc/systemd/system/getty.target.wants/getty@tty1.service
for release in lib/modules/*; do
    chroot . depmod "${release##*/}"
done
touch etc/.updated var/.updated
"""


def write_tar(out: Path, modules: Path) -> None:
    """Write the files above and the kernel's ``modules`` as a tar archive.  Raises OSError."""

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    with tarfile.open(out, "w") as archive:
        for name, text in FILES.items():
            member = tarfile.TarInfo(name)
            data = text.encode()
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
        for name, target in LINKS.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
        for release in sorted(modules.iterdir()):
            archive.add(release, f"usr/lib/modules/{release.name}", filter=owned_by_root)
