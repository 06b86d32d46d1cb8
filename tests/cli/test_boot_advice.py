# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``boot`` says to people who forgot an initrd, or put an option behind the image."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_engine import AGAIN, IMAGE, FakeEngine, fake_images

from lguest_py import engines, images
from lguest_py.cli import main
from lguest_py.engines import Choice
from lguest_py.shared_memory import _layouts as L

__all__ = ["fake_images"]
REASON = "VFS: Unable to mount root fs on unknown-block(0,0)"
NONE_GIVEN = (
    "lguest-py: no initrd was given, and there is no disk: give one with --initrd FILE (lguest-py mkinitrd makes one)"
)
Boot = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch, fake_images: Path, capfd: pytest.CaptureFixture[str]) -> Boot:
    """Boot a Guest that panics for REASON, or powers off; its status and the lines on stderr."""

    def run(*arguments: str, reason: str = REASON, personality: str = "lguest") -> tuple[int, list[str]]:
        def script(engine: FakeEngine) -> Generator[str, None, None]:
            if not reason:
                engine.end(L.END_POWER_OFF)
            elif personality == "native":
                said = f"[    1.0] Kernel panic - not syncing: {reason}\r\n[    1.1] ---[ end Kernel panic - x ]---\r\n"
                engine.early_text(said.encode())
            else:
                engine.end(L.END_PANIC, reason.encode())
            yield AGAIN

        image = replace(IMAGE, segments=(), personality="native") if personality == "native" else IMAGE
        choice = Choice(lambda size: FakeEngine(size, script), "fake", "a test")
        monkeypatch.setattr(engines, "choose", lambda name: choice)
        monkeypatch.setattr(images, "open_image", lambda path: image)
        status = main(["boot", "--memory", "4M", *arguments])
        return status, capfd.readouterr().err.splitlines()

    return run


@pytest.mark.parametrize("personality", ["lguest", "native"])
def test_no_initrd_and_no_root(boot: Boot, personality: str) -> None:
    status, lines = boot("image", personality=personality)
    assert status == 3
    place = lines.index(f"lguest-py: the Guest panicked: {REASON}")
    assert lines[place + 1] == NONE_GIVEN
    assert not [line for line in lines[:place] if "registers" in line]


def test_a_root_of_newer_kernels_and_quiet(boot: Boot) -> None:
    status, lines = boot("--quiet", "image", reason='VFS: Unable to mount root fs on "/dev/sda1" or unknown-block(0,0)')
    assert (status, lines[-1]) == (3, NONE_GIVEN)


def test_an_initrd_without_an_init(boot: Boot, tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(b"070701")
    _, lines = boot("--initrd", str(tmp_path / "initrd"), "image")
    assert [line for line in lines if "the kernel found no /init in its initrd: give a cpio archive" in line]


def test_other_panics_get_no_advice(boot: Boot) -> None:
    _, lines = boot("image", reason="Attempted to kill init!")
    assert not [line for line in lines if "initrd" in line]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--memory", "128M"], "--memory"),
        (["--memory=128M", "quiet", "-v"], "--memory=128M and -v"),
        (["console=hvc0", "--json"], "--json"),
    ],
)
def test_options_behind_the_image_are_warned_of(boot: Boot, words: list[str], named: str) -> None:
    status, lines = boot("image", *words, reason="")
    assert status == 0
    assert lines.count(
        f"lguest-py: {named} after IMAGE goes to the kernel: to give it to lguest-py, put it before IMAGE"
    ) == 1  # fmt: skip


@pytest.mark.parametrize("words", [[], ["quiet", "memory=1", "--memories"], ["--", "--memory", "-v"]])
def test_the_kernels_own_words_are_not(boot: Boot, words: list[str]) -> None:
    _, lines = boot("image", *words, reason="")
    assert not [line for line in lines if "after IMAGE" in line]
