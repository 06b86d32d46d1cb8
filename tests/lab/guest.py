# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot the bundled tiny Guest in this process and keep its output: for tests/guest_kernel.

Its input is a file that ends, so the Guest gets one Ctrl-D after it.  Used by tests/guest_kernel/test_guest.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from lguest_py import engines, images
from lguest_py.console.streams import Input, Output
from lguest_py.hardware import Hardware
from lguest_py.hardware.together import complete
from lguest_py.launcher.launcher import BusName, Launcher, Settings
from lguest_py.launcher.result import End, Result
from lguest_py.launcher.vm_memory import Switcher, built

LIMIT = 400.0  # seconds for one boot: the carrier is slow
MIB = 1 << 20


@dataclass(frozen=True)
class Run:
    """One run of the Guest: how it ended, all that it printed, and what the Launcher told the user."""

    result: Result
    text: str
    said: Sequence[str] = ()

    @property
    def end(self) -> End:
        """How it ended."""
        return self.result.outcome.end

    @property
    def reason(self) -> str:
        """Why, in the Host's or the Guest's words."""
        return self.result.outcome.reason

    @property
    def lines(self) -> list[str]:
        """What it printed, by lines."""
        return self.text.splitlines()


def boot_image(
    engine_name: str,
    image: images.Image,
    command_line: str = "",
    typed: bytes = b"",
    *,
    memory: int = 64 * MIB,
    restart: bool = False,
    switcher: Switcher = "lean",
    devices: Sequence[Hardware] = (),
    bus: BusName = "auto",
) -> Run:
    """Boot an image that was read before, and wait for its end."""
    settings = Settings(
        image, memory, command_line, restart=restart, timeout=LIMIT, switcher=switcher,
        devices=complete(devices), bus=bus,
    )  # fmt: skip
    with (
        tempfile.TemporaryFile() as keys,
        tempfile.TemporaryFile() as shown,
        closing(Output(shown.fileno())) as output,
    ):
        keys.write(typed)
        keys.seek(0)
        make, said = engines.choose(engine_name).make, list[str]()
        result = Launcher(settings, make, Input(keys.fileno()), output, say=said.append).run()
        assert not output.finish(60)
        shown.seek(0)
        return Run(result, shown.read().decode(errors="replace"), said)


def boot(
    engine_name: str,
    command_line: str = "",
    typed: bytes = b"",
    *,
    memory: int = 64 * MIB,
    restart: bool = False,
    switcher: Switcher = "lean",
    devices: Sequence[Hardware] = (),
    bus: BusName = "auto",
) -> Run:
    """Boot the ELF image."""
    image = images.open_image(str(built("guest.elf")))
    return boot_image(
        engine_name, image, command_line, typed, memory=memory, restart=restart, switcher=switcher,
        devices=devices, bus=bus,
    )  # fmt: skip
