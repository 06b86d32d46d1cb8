# SPDX-License-Identifier: GPL-2.0-or-later
"""At the end of a boot nothing of the Launcher's keeps a view of the machine's memory, so that it is unmapped."""

from __future__ import annotations

import gc
import mmap
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from fake_engine import AGAIN, IMAGE, LATER, WAIT, ConsoleDriver, FakeEngine, PciConsole, Script, fake_images
from launcher_lab import Lab, NoSource, lab, pipes, power_off

from lguest_py.hardware import Disk, Entropy, Share
from lguest_py.images import Image
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import End
from lguest_py.shared_memory import _layouts as L

pytestmark = pytest.mark.usefixtures("fake_images")
__all__ = ["fake_images", "lab", "pipes"]


class MappedEngine(FakeEngine):
    """Its memory is a real mapping, whose ``close`` raises BufferError while there is a view of it."""

    def __init__(self, memory_bytes: int, script: Script) -> None:
        super().__init__(memory_bytes, script)
        self.at_close: Callable[[], None] = lambda: None
        self.map = mmap.mmap(-1, memory_bytes)
        self.memory = memoryview(self.map)

    def close(self) -> None:
        super().close()
        for name in ("machine", "mailbox", "guest"):
            self.__dict__.pop(name, None)
        self._steps = None
        self.memory.release()
        self.map.close()
        self.at_close()


def page_script(engine: FakeEngine) -> Generator[str, None, None]:
    driver = ConsoleDriver(engine)
    driver.receive.receive(0, 0x6000, 16)
    driver.write(b"x" * 100)
    del driver
    yield WAIT
    yield from power_off(engine)


def pci_script(engine: FakeEngine) -> Generator[str, None, None]:
    console = PciConsole(engine)
    yield from console.start()
    console.drivers[1].add([b"x" * 100])
    console.drivers[0].add([], [16])
    console.notify(0)
    console.notify(1)
    del console
    yield WAIT
    yield from power_off(engine)


def killed_script(engine: FakeEngine) -> Generator[str, None, None]:
    """One chain is on its way to the output, which takes no more, when the Guest breaks a rule."""
    driver = ConsoleDriver(engine)
    driver.write(b"x" * 0x80000, 0, 0x100000)
    del driver
    yield AGAIN
    engine.notify(0x5000)
    yield AGAIN


def restart_script(engine: FakeEngine) -> Generator[str, None, None]:
    for step in page_script(engine):
        engine.end(L.END_RESTART)
        yield step


@pytest.mark.parametrize(
    ("image", "scripts", "end"),
    [
        (IMAGE, (page_script,), End.POWERED_OFF),
        (LATER, (pci_script,), End.POWERED_OFF),
        (IMAGE, (killed_script,), End.KILLED),
        (IMAGE, (restart_script, page_script), End.POWERED_OFF),
    ],
)
def test_the_memory_is_unmapped(
    lab: Lab, tmp_path: Path, image: Image, scripts: tuple[Script, ...], end: End
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    made: list[MappedEngine] = []

    def make(memory_bytes: int) -> MappedEngine:
        made.append(MappedEngine(memory_bytes, scripts[len(made)]))
        made[-1].at_close = lab.pipes.go.set
        return made[-1]

    devices = (Disk(str(disk)), Share(str(tmp_path)), Entropy()) if image is LATER else ()
    settings = Settings(image, 4 << 20, devices=devices, timeout=20.0)
    if end is End.KILLED:
        lab.pipes.go.clear()
    gc.disable()  # no cycle either
    try:
        launcher = Launcher(settings, make, NoSource(), lab.pipes.output, None, lab.lines.append)
        result = launcher.run()
    finally:
        gc.enable()
    assert result.outcome.end is end
    assert len(made) == len(scripts)
    assert all(engine.map.closed for engine in made)
