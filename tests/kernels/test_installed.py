# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fetched system adds to a machine, and where its root disk's changes go."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lguest_py.errors import LguestError, UsageError
from lguest_py.hardware import Disk, Entropy, Network
from lguest_py.kernels import installed, root_disk
from lguest_py.kernels.stock import Kernel

MIB = 1 << 20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A fetched one, with a root disk of holes and a few bytes; passt is there."""
    (tmp_path / "cache").mkdir()
    with (tmp_path / "cache/root.img").open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(32 * MIB)
        file.write(b"a file system")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return Kernel("debian-12-i386", tmp_path / "cache", "linux 1", "busybox 1", "apt", "", root_disk.edition())


def test_a_system_has_all_that_the_user_did_not_name(system: Kernel) -> None:
    added = installed.system(system, [], [], None)
    assert added.disks == (Disk(str(system.root), overlay=True, format="raw"),)
    assert added.others == (Entropy(), Network())
    assert added.words == ("root=/dev/vda", "rw", "quiet", "noisapnp", "console=ttyS0", "console=hvc0")
    assert added.notes == (installed.LOST,)


def test_what_the_user_names_is_not_added(system: Kernel) -> None:
    added = installed.system(system, ["root=LABEL=x", "ro"], [Entropy("/dev/zero"), Network("tap", "lg0")], None)
    assert added == installed.System(("rw", "quiet", "noisapnp", "console=ttyS0", "console=hvc0"))


def test_without_passt_there_is_no_network_and_a_line(system: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    added = installed.system(system, [], [], None)
    assert added.others == (Entropy(),)
    assert added.notes == (installed.LOST, installed.NO_NETWORK)


def test_a_kernel_alone_gets_nothing(system: Kernel) -> None:
    kernel = Kernel("debian-6.1-686", system.directory, "linux 1", "busybox 1", "apt", "")
    for found in (None, kernel):
        assert installed.system(found, ["quiet"], [], None) == installed.System()
        with pytest.raises(UsageError, match="is for a system of lguest-py fetch: give --disk FILE"):
            installed.system(found, [], [], "my.img")


def test_root_and_a_root_word_are_refused(system: Kernel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave root= out"):
        installed.system(system, ["root=/dev/vdb"], [], str(tmp_path / "my.img"))
    assert not (tmp_path / "my.img").exists()


def test_a_named_disk_is_made_once_with_its_holes_and_then_kept(system: Kernel, tmp_path: Path) -> None:
    place = tmp_path / "my.img"
    added = installed.system(system, [], [], str(place))
    assert added.disks == (Disk(str(place), format="raw"),)
    assert "is a new copy" in added.notes[0]
    assert place.stat().st_size == 64 * MIB
    assert place.stat().st_blocks * 512 < MIB
    assert system.root
    assert place.read_bytes() == system.root.read_bytes()
    place.write_bytes(b"changed")
    again = installed.system(system, [], [], str(place))
    assert again.notes == ()
    assert place.read_bytes() == b"changed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "my.img"]


@pytest.mark.parametrize("edition", ["", "0123456789abcdef"], ids=["none", "another"])
def test_a_disk_of_another_recipe_is_a_line_and_the_users_file_is_not_judged(
    system: Kernel, tmp_path: Path, edition: str
) -> None:
    old, place = replace(system, root_edition=edition), tmp_path / "my.img"
    line = (
        "the root disk of debian-12-i386 was made by another version of lguest-py: "
        "lguest-py fetch debian-12-i386 makes it anew"
    )
    assert installed.system(old, [], [], None).notes == (line, installed.LOST)
    first, second = installed.system(old, [], [], str(place)).notes
    assert first == line
    assert "is a new copy" in second
    before = place.stat()
    assert installed.system(old, [], [], str(place)).notes == ()
    assert installed.system(old, ["root=/dev/vda"], [], None).notes == ()
    assert place.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("place", ["nowhere/my.img", "cache/root.img/my.img"])
def test_a_copy_that_cannot_be_made_is_a_line(system: Kernel, tmp_path: Path, place: str) -> None:
    with pytest.raises(LguestError, match=r"the root disk cannot be copied to .*: name another place"):
        installed.system(system, [], [], str(tmp_path / place))
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_an_image_that_went_away_is_a_line(system: Kernel, tmp_path: Path) -> None:
    assert system.root
    system.root.unlink()
    with pytest.raises(LguestError, match="cannot be copied"):
        installed.system(system, [], [], str(tmp_path / "my.img"))
    assert not (tmp_path / "my.img").exists()
