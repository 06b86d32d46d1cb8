# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Linux in its other forms, and its other ends: vmlinux, self-unpacking bzImages; panic, reboot, ruin.

Read next: tests/lab/linux_lab.py.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from linux_lab import LIMIT, Linux

from lguest_py import engines
from lguest_py.console.streams import Input, Output
from lguest_py.images import Image, open_image
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import End, Result

if TYPE_CHECKING:
    from linux_lab import RealLinux

FORMATS = ("gz", "bzip2", "lzma", "xz", "lzo", "lz4")


def variant(linux: RealLinux, form: str) -> Path:
    """The bzImage compressed in this way; gzip is what the plain one is."""
    path = linux.bzimage.parent / "variants" / f"bzImage.{form}"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return path


def run(engine_name: str, image: Image, linux: RealLinux, words: str) -> tuple[Result, str]:
    """Boot in this process; how it ended, and all that the console showed."""
    settings = Settings(image, 64 << 20, f"console=hvc0 {words}", str(linux.initrd), restart=False, timeout=LIMIT)
    with (
        tempfile.TemporaryFile() as keys,
        tempfile.TemporaryFile() as shown,
        closing(Output(shown.fileno())) as output,
    ):
        result = Launcher(settings, engines.choose(engine_name).make, Input(keys.fileno()), output).run()
        assert not output.finish(60)
        shown.seek(0)
        return result, shown.read().decode()


def test_a_vmlinux_to_its_shell_and_its_panic_in_ring_1(engine_name: str, linux: RealLinux) -> None:
    guest = Linux(engine_name, linux.vmlinux, linux.initrd, "quiet")
    try:
        guest.to_the_shell()
        assert guest.ask("echo $((6 * 7))") == "42\n"
        guest.type(b"/tests/panic\n")
        data = guest.finish()
    finally:
        guest.close()
    assert (data["end"], data["reason"], data["status"]) == ("panicked", "Fatal exception", 3)
    selector = re.search(r"\bEIP: ([0-9a-f]{4}):\[", guest.text)  # as the Guest's kernel itself read it
    assert selector
    assert int(selector[1], 16) & 3 == 1
    assert "Kernel panic - not syncing: Fatal exception" in guest.text
    report = guest.text[guest.text.index("lguest-py: the Guest panicked: Fatal exception\n") :]
    assert "Guest registers, in ring 1, after hypercall" in report
    assert re.search(r"the last 64 of \d+ world switches", report)


@pytest.mark.parametrize("form", ["gz"])
def test_a_bzimage_unpacks_itself_in_ring_1_and_a_reboot_can_be_the_end(
    engine_name: str, linux: RealLinux, form: str
) -> None:
    image = open_image(str(variant(linux, form)), unpack=False)
    assert image.kind == "bzImage"
    result, text = run(engine_name, image, linux, "quiet run=reboot")
    assert "\nREBOOT NOW" in text
    assert (result.outcome.end, result.status, result.restarts) == (End.RESTARTED, 0, 0)
    assert result.snapshot.rings == (1, 3)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("form", FORMATS[1:])
def test_a_bzimage_unpacks_itself_in_ring_1_however_compressed(engine_name: str, linux: RealLinux, form: str) -> None:
    image = open_image(str(variant(linux, form)), unpack=False)
    assert image.kind == "bzImage"
    result, text = run(engine_name, image, linux, "quiet run=rpl")
    assert "\nTEST rpl EXIT 0" in text
    assert (result.outcome.end, result.status) == (End.POWERED_OFF, 0)
    assert result.snapshot.rings == (1, 3)


@pytest.mark.parametrize("form", FORMATS)
def test_unpacked_by_us_a_bzimage_is_the_vmlinux(linux: RealLinux, form: str) -> None:
    path = variant(linux, form)
    image = open_image(str(path))
    if image.kind == "bzImage":
        pytest.skip(f"no library here for {form}: it is entered")
    assert image.kind == "bzImage (unpacked)"
    plain = open_image(str(linux.vmlinux))
    assert (image.entry, image.segments) == (plain.entry, plain.segments)


@pytest.mark.parametrize(
    "source",
    [
        "</dev/zero",
        pytest.param("</bin/busybox", marks=pytest.mark.nightly),
        pytest.param("</dev/urandom", marks=pytest.mark.nightly),
    ],
)
def test_a_kernel_overwritten_from_inside_ends_the_guest_alone(engine_name: str, linux: RealLinux, source: str) -> None:
    kernel = open_image(str(linux.vmlinux)).segments[0]
    guest = Linux(engine_name, linux.bzimage, linux.initrd, "quiet", limit=120)
    try:
        guest.to_the_shell()
        place = f"bs=64k seek={kernel.address >> 16} count={kernel.size >> 16}"
        guest.type(f"dd {source} of=/dev/mem {place}\n".encode())
        data = guest.finish()
    finally:
        guest.close()
    # What runs then is chance; a kernel that is in a loop with its interrupts off needs the time limit.
    assert data["end"] in ("killed", "panicked", "halted", "time limit")
    assert data["status"] in (3, 4)
    assert "Traceback" not in guest.text
