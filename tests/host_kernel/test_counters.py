# SPDX-License-Identifier: GPL-2.0-or-later
"""Each counter of the Host kernel and of the mailbox starts near its end, and its wrap changes no behaviour.

docs/decisions.md lists them.  Read before: script_lab.py.
"""

from __future__ import annotations

import struct
import tempfile
from contextlib import closing

import pytest
from churn_lab import churn
from guest import LIMIT, MIB
from hostile_code import DIRECTORY, EDX, le32, mov
from hostile_lab import SWITCHERS, harmless, image_of
from script_lab import Look, Script
from shadow_model import Shadow, objects

from lguest_py import engines, images
from lguest_py.console.streams import Input, Output
from lguest_py.engines.base import EngineWrapper
from lguest_py.images.image import Image
from lguest_py.launcher.launcher import Launcher, Settings
from lguest_py.launcher.result import End, Result
from lguest_py.launcher.vm_memory import Switcher, built
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View

TABLE, OTHER_TABLE, SECOND, TARGET = 0x310000, 0x318000, 0x340000, 0x320000
INDEX, USED = 5, 0x67
MANY = 0x400000  # page directories
END = 1 << 32


def near_its_end(name: str, steps: int) -> Look:
    def look(memory: memoryview) -> None:
        at = objects()[name]
        memory[at : at + 4] = le32(END - steps)

    return look


@SWITCHERS
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_what_was_flushed_long_ago_is_not_taken_for_flushed_now(
    engine_name: str, switcher: Switcher, steps: int
) -> None:
    """Neither a table nor a directory that was last looked at when the count of flushes was this one."""
    script = Script()
    for number in range(8):
        script.store(TARGET + 0x1000 * number, number)
    for index in (0, 1, 768, 769):
        script.store(SECOND + 4 * index, DIRECTORY + 0x1000 * (1 + index % 256) | USED)
    for directory, table in ((SECOND, OTHER_TABLE), (DIRECTORY, TABLE)):
        script.store(table, TARGET | USED)
        script.store(directory + 4 * INDEX, table | USED)
        script.call(L.LHCALL_NEW_PGTABLE, directory)
        script.check(INDEX << 22, 0)
    script.ask()
    for number in range(1, steps + 3):
        for table in (TABLE, OTHER_TABLE):
            script.store(table, TARGET + 0x1000 * number | USED)
        script.call(L.LHCALL_FLUSH_TLB, 1)
        script.check(INDEX << 22, number)
        if number >= steps:
            script.call(L.LHCALL_NEW_PGTABLE, SECOND)
            script.check(INDEX << 22, number)
            script.call(L.LHCALL_NEW_PGTABLE, DIRECTORY)
    harmless(script.run(engine_name, switcher, [near_its_end("flushes", steps)]))


@pytest.mark.parametrize(("name", "steps", "switcher"), [("switches", 40, "lean"), ("flushes", 9, "classic")])
def test_churn_across_the_end(engine_name: str, name: str, steps: int, switcher: Switcher) -> None:
    churn(engine_name, switcher, 3, 500, near_its_end(name, steps))


def test_as_many_references_to_one_table_as_there_can_be(engine_name: str) -> None:
    """Each entry of each shadow directory leads to it: that is below what 16 bits count."""
    count, own = 64, (0, 1)
    rows = [TABLE | USED] * 1023 + [0]
    for index in own:
        rows[index] = DIRECTORY + 0x1000 * (1 + index) | USED
    script = Script()
    script.store(TABLE, TARGET | USED)
    for number in range(count):
        directory = MANY + 0x1000 * number
        script.call(L.LHCALL_NEW_PGTABLE, directory)
        script.touch(2 << 22)
        for index in range(3, 1023):
            script.call(L.LHCALL_SET_PGD, directory, index)
    script.ask()
    script.call(L.LHCALL_NEW_PGTABLE, DIRECTORY)  # one directory goes
    script.ask()
    counts: list[int] = []

    def references(memory: memoryview) -> None:
        pages = Shadow.read(memory).pages.values()
        counts.append(next(page.references for page in pages if page.frame == TABLE >> 12))

    more = {MANY: struct.pack("<1024I", *rows) * count}
    harmless(script.run(engine_name, "lean", [references, references], more))
    each = 1023 - len(own)
    assert counts == [count * each, (count - 1) * each]
    assert count * each < 1 << 16


class NearTheEnd(EngineWrapper):
    """All that counts in the mailbox stands just before its end when the machine starts."""

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """The other's."""
        mailbox = View(self.memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        for ring in ("notify", "text", "input"):
            for side in ("head", "tail"):
                mailbox[f"{ring}_{side}"] = END - 3
        for irq in range(L.VIRTUAL_IRQS):
            mailbox["irq_raised", irq] = END - 1
        for count in ("interrupts_delivered", "faults_filled", "faults_reflected", "switch_head"):
            mailbox[count] = END - 2
        for vector in range(L.IDT_ENTRIES):
            mailbox["by_vector", vector] = END - 1
        for number in range(L.HYPERCALL_COUNT):
            mailbox["by_hypercall", number] = END - 1
        super().start(entry, ebx, tsc)


def run(engine_name: str, image: Image, switcher: Switcher, typed: bytes) -> tuple[Result, bytes]:
    choice = engines.choose(engine_name)
    settings = Settings(image, 16 * MIB, restart=False, timeout=LIMIT, switcher=switcher)
    with (
        tempfile.TemporaryFile() as keys,
        tempfile.TemporaryFile() as shown,
        closing(Output(shown.fileno())) as output,
    ):
        keys.write(typed)
        keys.seek(0)
        result = Launcher(settings, lambda size: NearTheEnd(choice.make(size)), Input(keys.fileno()), output).run()
        assert not output.finish(60)
        shown.seek(0)
        return result, shown.read()


@SWITCHERS
def test_the_mailbox_of_an_lguest_guest(engine_name: str, switcher: Switcher) -> None:
    """Its early console, its devices and their interrupts."""
    image = images.open_image(str(built("guest.elf")))
    result, shown = run(engine_name, image, switcher, b"echo to and fro\necho again\n")
    assert result.outcome.end is End.POWERED_OFF, result.outcome
    for said in (b"\nto and fro", b"\nagain"):
        assert said in shown.replace(b"\r", b"")
    assert len(result.snapshot.last) == L.SWITCH_RECORDS
    assert result.snapshot.last[-1].tsc > result.snapshot.last[0].tsc > 0


@SWITCHERS
def test_the_mailbox_of_a_native_guest(engine_name: str, switcher: Switcher) -> None:
    """Its serial port, both ways, for more bytes than the rings hold."""
    port = {name: mov(EDX, 0x3F8 + at) for name, at in {"data": 0, "enable": 1, "modem": 4, "status": 5}.items()}
    setup = port["modem"] + b"\xb0\x0a\xee" + port["enable"] + b"\xb0\x01\xee"
    wait = port["status"] + b"\xec\xa8\x01\x74\xfb"  # until there is a byte
    echo = port["data"] + b"\xec\xee\x3c\x04"
    again = b"\x75" + bytes([0x100 - len(wait) - len(echo) - 2])
    masked = b"\xb0\xff\xe6\x21"
    typed = bytes(range(0x20, 0x7F)) * 100
    image = image_of("native", masked + setup + wait + echo + again)
    result, shown = run(engine_name, image, switcher, typed + b"\x04")
    assert result.outcome.end is End.POWERED_OFF, result.outcome
    assert shown == typed + b"\x04"
