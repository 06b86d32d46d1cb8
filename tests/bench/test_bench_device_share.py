# SPDX-License-Identifier: GPL-2.0-or-later
"""The share's rows of ``lguest-py bench devices``: both sides have the same folder, as large as the program expects."""

from __future__ import annotations

import re
from pathlib import Path

from lguest_py.bench.device_setup import Where
from lguest_py.bench.device_share import BYTES, MOUNT, SHARE
from lguest_py.hardware import Share

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (ROOT / "guest_kernel/linux/devices/share.c").read_text()


def test_both_sides_share_the_same_folder(tmp_path: Path) -> None:
    sides: tuple[Where, ...] = ("guest", "native")
    for where in sides:
        with SHARE.begin(tmp_path, where) as side:
            (share,) = side.devices
            assert isinstance(share, Share)
            assert f"path={share.path}," in side.qemu[1]
            assert f"mount_tag={share.tag}" in side.qemu[3]
            assert f" {share.tag} " in MOUNT
            assert MOUNT in side.commands
            assert {path.name: path.stat().st_size for path in Path(share.path).iterdir()} == {
                "source": BYTES,
                "target": BYTES,
            }


def test_the_program_has_the_rows_and_the_sizes() -> None:
    assert set(re.findall(r'BENCH\(\w+, "([\w-]+)"', PROGRAM)) == set(SHARE.rows)
    (megabytes,) = re.findall(r"FILE_BYTES \((\d+)u << 20\)", PROGRAM)
    assert int(megabytes) << 20 == BYTES
    for name in ("source", "target"):
        assert f'"/share/{name}"' in PROGRAM
