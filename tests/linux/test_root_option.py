# SPDX-License-Identifier: GPL-2.0-or-later
"""``root=`` with a fetched kernel's initrd: the system on a disk takes over, or a line says why it cannot.

The system is busybox alone, with an init that says what it got.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lguest_py import Disk, Machine
from lguest_py.kernels.stock import Kernel
from lguest_py.launcher.result import End

pytestmark = [pytest.mark.timeout(1500)]
PATIENCE = 600.0
param = pytest.param
INIT = """\
#!/bin/busybox sh
busybox mount -t proc proc /proc 2>/dev/null
words=$(busybox ls /dev/vda /sys/block /etc | busybox tr "\\n" " ")
echo "system: $* $(busybox grep -c " / ext4 rw" /proc/mounts) $words"
echo "name: $0"
busybox poweroff -f
"""


@pytest.fixture
def disk(stock: Kernel, tmp_path: Path) -> Path:
    """A disk with that system; the label and the UUID are known."""
    tree = tmp_path / "tree"
    for name in ("bin", "sbin", "dev", "proc", "sys", "etc"):
        (tree / name).mkdir(parents=True)
    shutil.copy(stock.directory / "busybox", tree / "bin/busybox")
    (tree / "bin/busybox").chmod(0o755)
    for name in ("sbin/init", "bin/other"):
        (tree / name).write_text(INIT)
        (tree / name).chmod(0o755)
    image = tmp_path / "disk.img"
    names = ["-L", "mine", "-U", "01234567-89ab-cdef-0123-456789abcdef"]
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", *names, "-d", str(tree), str(image), "16M"], check=True)
    return image


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("root=/dev/vda rw", "system:  1 /dev/vda"),
        param("root=LABEL=mine", "system:  0 /dev/vda", marks=pytest.mark.nightly),
        param("root=UUID=01234567-89ab-cdef-0123-456789abcdef single", "system: single 0", marks=pytest.mark.nightly),
        ("root=/dev/vda rootfstype=ext4 rootflags=noatime rw init=/bin/other", "name: /bin/other"),
    ],
)
def test_the_system_on_the_disk_takes_over(
    stock: Kernel, engine_name: str, disk: Path, words: str, said: str
) -> None:
    with Machine(stock.name, engine=engine_name, command_line=words, devices=[Disk(str(disk))]) as machine:  # type: ignore[arg-type]
        result = machine.wait(PATIENCE)
        assert said in machine.console.output
    assert result.status == 0


@pytest.mark.nightly("kvm")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("root=/dev/vdb", "root=/dev/vdb is no disk here; there are: vda"),
        param("root=LABEL=other", "root=LABEL=other is no disk here", marks=pytest.mark.nightly),
        param("root=/dev/vda rootflags=nonsense", "root=/dev/vda cannot be mounted", marks=pytest.mark.nightly),
        param("root=/dev/vda init=/bin/nothing", "root=/dev/vda has no /bin/nothing in it", marks=pytest.mark.nightly),
        param('root=/dev/vda run="echo hello"', "run= is for this initrd's own shell", marks=pytest.mark.nightly),
    ],
)
def test_what_cannot_take_over_is_a_line_and_a_panic(
    stock: Kernel, engine_name: str, disk: Path, words: str, said: str
) -> None:
    with Machine(stock.name, engine=engine_name, command_line=words, devices=[Disk(str(disk))]) as machine:  # type: ignore[arg-type]
        result = machine.wait(PATIENCE)
        assert said in machine.console.output
    assert result.outcome.end is End.PANICKED
    assert result.status == 3
