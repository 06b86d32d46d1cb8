# SPDX-License-Identifier: GPL-2.0-or-later
"""The native personality: which images get it, and what such a kernel finds in its memory when it starts."""

from __future__ import annotations

import gzip
import lzma
import struct
import sys
from pathlib import Path

import imagewriter
import pytest
from imagewriter import BzImage, ElfFile, Part

from lguest_py.engines.cpuid import has_meltdown
from lguest_py.errors import ImageError
from lguest_py.images import Image, open_image
from lguest_py.images.acpi import tables
from lguest_py.images.native import ADDITIONS, FIRMWARE, additions, needs_no_pti, personality_line, write_native
from lguest_py.images.support import sets_flag_by_popf

RAM = 4 << 20
ALL = [addition for _, addition in ADDITIONS]
E820 = 0x2D0


def stock(version: str = "6.1.0-50-686", more: bytes = b"") -> bytes:
    """An ELF of a Linux that knows nothing of lguest."""
    return ElfFile((Part(0x100000, imagewriter.text(version, call=b"\x90", name=b"", more=more)),)).bytes()


def packed(version: str = "6.1.0-50-686", payload: bytes | None = None) -> bytes:
    return BzImage(lzma.compress(stock(version)) if payload is None else payload, version=f"{version} (x)").bytes()


def read(tmp_path: Path, image: bytes, unpack: bool | None = None) -> Image:
    path = tmp_path / "image"
    path.write_bytes(image)
    return open_image(str(path), unpack=unpack)


@pytest.mark.parametrize("version", ["2.6.32", "3.18.24", "4.14.0", "5.11.22", "5.12-rc1", "6.1.0-50-686", "7.0.0"])
@pytest.mark.parametrize("unpack", [None, True, False])
def test_a_linux_without_lguest_is_native(tmp_path: Path, version: str, unpack: bool | None) -> None:
    image = read(tmp_path, packed(version), unpack)
    assert image.personality == "native"
    assert (image.kind == "bzImage") is (unpack is False)
    assert read(tmp_path, stock(version)).personality == "native"


def test_a_linux_with_the_host_half_only_is_native(tmp_path: Path) -> None:
    half = ElfFile((Part(0x100000, imagewriter.text(call=b"\x90")),)).bytes()
    assert read(tmp_path, half).personality == "native"
    assert read(tmp_path, BzImage(gzip.compress(half)).bytes()).personality == "native"


@pytest.mark.parametrize(
    ("version", "popf"), [(None, False), ("2.6.32", True), ("5.11.22", True), ("5.12-rc1", False), ("6.1.0-50", False)]
)
def test_before_5_12_popf_sets_the_flag(version: str | None, popf: bool) -> None:
    assert sets_flag_by_popf(version) is popf


def test_an_lguest_kernel_stays_what_it_is(tmp_path: Path) -> None:
    for image in (imagewriter.kernel().bytes(), imagewriter.kernel(None).bytes()):
        assert read(tmp_path, image).personality == "lguest"
        assert read(tmp_path, BzImage(gzip.compress(image)).bytes(), False).personality == "lguest"


def test_without_the_library_to_unpack_it_the_version_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    unknown = b"\x28\xb5\x2f\xfd" + bytes(99)
    assert read(tmp_path, packed(payload=unknown)).personality == "native"
    assert read(tmp_path, packed("4.14.0", unknown)).personality == "native"
    assert read(tmp_path, packed("4.13.16", unknown)).personality == "lguest"


REFUSED = {
    "2.6.31": (stock("2.6.31.14"), "Linux 2.6.31.14, which is too old: give"),
    "no Linux": (ElfFile((Part(0x100000, b"\x90" * 64),)).bytes(), "no lguest kernel, not Linux"),
    "64-bit": (BzImage(b"?", version="6.1.0-50-amd64 (x)", xloadflags=1).bytes(), "64-bit"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_be_run_in_neither_way_is_refused(tmp_path: Path, kind: str) -> None:
    image, reason = REFUSED[kind]
    with pytest.raises(ImageError, match=reason) as caught:
        read(tmp_path, image)
    assert str(caught.value).isprintable()
    assert "give a 32-bit Linux" in str(caught.value)


def test_the_form_of_its_page_tables_is_told_by_its_contents_or_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pae = stock(more=b"*pdpt = %016Lx ")
    assert read(tmp_path, pae).pae
    assert not read(tmp_path, stock()).pae
    assert read(tmp_path, BzImage(gzip.compress(pae), version="6.1.0 (x)").bytes(), False).pae
    assert not read(tmp_path, packed("6.1.0-50-686-pae")).pae
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert read(tmp_path, packed("6.1.0-50-686-pae", b"\x28\xb5\x2f\xfd" + bytes(99))).pae
    assert not read(tmp_path, packed("6.1.0-50-686", b"\x28\xb5\x2f\xfd" + bytes(99))).pae


def test_the_command_line_gets_what_is_needed_and_not_given() -> None:
    assert additions("") == ALL
    assert {"reservetop=0x400000", "no_timer_check", "console=ttyS0"} <= set(ALL)
    assert additions("quiet console=tty0 xconsole=1") == [word for word in ALL if word != "console=ttyS0"]
    assert additions(" ".join(start + "x" for start, _ in ADDITIONS)) == []


@pytest.mark.parametrize(
    ("told", "engine", "needless"),
    [
        ("Not affected\n", "kvm", True),
        ("Mitigation: PTI\n", "kvm", False),
        ("Vulnerable\n", "kvm", False),
        (None, "kvm", False),
        ("Mitigation: PTI\n", "tcg", True),
        (None, "tcg", True),
    ],
)
def test_a_kernel_does_not_separate_page_tables_where_no_processor_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, engine: str, needless: bool
) -> None:
    place = tmp_path / "meltdown"
    if told:
        place.write_text(told)
    monkeypatch.setattr("lguest_py.engines.cpuid.MELTDOWN", place)
    has_meltdown.cache_clear()
    try:
        assert needs_no_pti("6.1.0-50-686-pae", True, engine) == needless
        assert not needs_no_pti("6.1.0-50-686", False, engine)
        assert not needs_no_pti("4.15.0-20-generic", True, engine)  # it would hand the word on to init
        assert not needs_no_pti(None, True, engine)
        image = read(tmp_path, stock("6.1.0-50-686-pae", more=b"*pdpt = %016Lx "))
        assert ("nopti" in personality_line(image, "", engine)) == needless
    finally:
        has_meltdown.cache_clear()


@pytest.mark.parametrize("words", ["pti=on", "nopti", "mitigations=auto", "quiet pti=off"])
def test_the_user_decides_about_separate_page_tables(words: str) -> None:
    assert additions("quiet", no_pti=True) == [*ALL, "nopti"]
    assert "nopti" not in additions(words, no_pti=True)


def test_the_user_is_told_the_personality_and_what_was_added(tmp_path: Path) -> None:
    line = personality_line(read(tmp_path, packed()), "console=ttyS0 quiet")
    assert line.startswith("personality native: Linux 6.1.0-50-686 has no lguest support")
    assert "reservetop=0x400000" in line
    assert "console=ttyS0" not in line
    assert "tested" not in line
    assert "6.5, 6.12 were tested" in personality_line(read(tmp_path, packed("7.0.1")), "")
    line = personality_line(read(tmp_path, packed()), " ".join(ALL))
    assert "command line" not in line
    line = personality_line(read(tmp_path, imagewriter.kernel().bytes()), "")
    assert line == "personality lguest: Linux 3.18.24 makes hypercalls"


class Memory:
    """A Guest's RAM after write_native."""

    def __init__(self, image: Image, command_line: str = "quiet", initrd: tuple[int, int] | None = None) -> None:
        self.ram = bytearray(RAM)
        image.load(memoryview(self.ram))
        write_native(memoryview(self.ram), image, command_line=command_line, initrd=initrd)
        self.params = self.ram[0x10000:0x11000]

    def number(self, offset: int, form: str) -> int:
        value: int = struct.unpack_from("<" + form, self.params, offset)[0]
        return value

    @property
    def command_line(self) -> bytes:
        start = self.number(0x228, "I")
        return bytes(self.ram[start : self.ram.index(0, start)])


@pytest.mark.parametrize("image", [stock(), packed()])
def test_boot_params_are_as_the_boot_protocol_wants_them(tmp_path: Path, image: bytes) -> None:
    memory = Memory(read(tmp_path, image), initrd=(0x300000, 777))
    assert memory.command_line == " ".join([*ALL, "quiet"]).encode()
    assert bytes(memory.params[0x202:0x206]) == b"HdrS"
    assert memory.number(0x206, "H") == 0x20C
    assert memory.params[0x210] == 0xFF
    assert (memory.number(0x218, "I"), memory.number(0x21C, "I")) == (0x300000, 777)
    assert memory.number(0x23C, "I") == 0  # an ordinary PC
    assert not any(memory.params[:0x1E8])  # no screen, no APM, no EFI
    entries = [struct.unpack_from("<QQI", memory.params, E820 + 20 * n) for n in range(memory.params[0x1E8])]
    assert entries == [(0, 0x9F000, 1), (0x9F000, 0x61000, 2), (0x100000, RAM - 0x100000, 1)]


def test_a_setup_header_is_kept_but_for_what_a_loader_fills_in(tmp_path: Path) -> None:
    image = read(tmp_path, packed())
    changed = bytearray(image.setup_header)
    changed[0x250 - 0x1F1 : 0x258 - 0x1F1] = b"\xff" * 8  # setup_data is ours
    image = Image(**{**vars(image), "setup_header": bytes(changed)})
    memory = Memory(image, "")
    assert memory.number(0x22C, "I") == 0x37FFFFFF
    assert memory.number(0x250, "Q") == 0
    assert memory.command_line == " ".join(ALL).encode()


def test_a_command_line_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    image = read(tmp_path, stock())
    room = 2047 - len(" ".join([*ALL, ""]))
    Memory(image, "x" * room)
    with pytest.raises(ImageError, match="takes 2047: shorten it"):
        Memory(image, "x" * (room + 1))


def test_a_kernel_where_the_firmware_is_is_refused(tmp_path: Path) -> None:
    low = ElfFile((Part(0x20000, imagewriter.text("6.1.0", call=b"\x90", name=b"")),)).bytes()
    with pytest.raises(ImageError, match="segment below 1M"):
        Memory(read(tmp_path, low))


def table_at(ram: bytearray, address: int) -> bytes:
    """A table with a header; its checksum is checked."""
    table = bytes(ram[address : address + struct.unpack_from("<I", ram, address + 4)[0]])
    assert len(table) >= 36
    assert sum(table) % 256 == 0
    return table


def find_rsdp(ram: bytearray) -> bytes:
    """Search as an operating system does (ACPI 6.5, 5.2.5.1)."""
    for place in range(0xE0000, 0x100000, 16):
        if ram[place : place + 8] == b"RSD PTR ":
            return bytes(ram[place : place + 20])
    raise AssertionError("no RSDP")


def test_acpi_tables_are_found_and_lead_to_each_other(tmp_path: Path) -> None:
    ram = Memory(read(tmp_path, stock())).ram
    rsdp = find_rsdp(ram)
    assert sum(rsdp) % 256 == 0
    rsdt = table_at(ram, struct.unpack_from("<I", rsdp, 16)[0])
    assert (rsdt[:4], len(rsdt)) == (b"RSDT", 44)
    fadt = table_at(ram, struct.unpack_from("<I", rsdt, 36)[0])
    assert (fadt[:4], len(fadt), fadt[8]) == (b"FACP", 244, 3)
    facs, dsdt = struct.unpack_from("<II", fadt, 36)
    assert facs % 64 == 0
    assert ram[facs : facs + 8] == b"FACS" + struct.pack("<I", 64)
    assert struct.unpack_from("<H", fadt, 46)[0] == 9  # SCI
    assert struct.unpack_from("<I", fadt, 48)[0] == 0  # no SMI command port: ACPI is on
    assert struct.unpack_from("<IIII", fadt, 56) == (0x600, 0, 0x604, 0)
    assert struct.unpack_from("<I", fadt, 76)[0] == 0x608
    assert tuple(fadt[88:92]) == (4, 2, 0, 4)
    assert fadt[113] & 4  # the reset register is there (bit 10 of the flags)
    assert struct.unpack_from("<BBBBQB", fadt, 116) == (1, 8, 0, 1, 0xCF9, 6)
    assert struct.unpack_from("<QQ", fadt, 132) == (0, dsdt)
    assert struct.unpack_from("<BBBBQ", fadt, 148) == (1, 32, 0, 2, 0x600)
    assert struct.unpack_from("<BBBBQ", fadt, 172) == (1, 16, 0, 2, 0x604)
    assert struct.unpack_from("<BBBBQ", fadt, 208) == (1, 32, 0, 3, 0x608)
    # Name (\_S5, Package {5, 5, 0, 0}): NameOp, name, PackageOp, its length, how many, two bytes, two zeros
    assert table_at(ram, dsdt)[36:] == bytes.fromhex("08 5c5f53355f 12 08 04 0a05 0a05 00 00")


def test_acpi_tables_stay_within_the_firmware() -> None:
    blob = tables(FIRMWARE)
    assert FIRMWARE >= 0xE0000
    assert FIRMWARE + len(blob) <= 0x100000


def test_iasl_reads_the_tables_without_complaint(tmp_path: Path) -> None:
    import shutil
    import subprocess

    if not shutil.which("iasl"):
        pytest.skip("no iasl here (Debian: acpica-tools); the test above decodes the tables itself")
    ram = bytearray(FIRMWARE) + bytearray(tables(FIRMWARE))
    fadt = struct.unpack_from("<I", ram, struct.unpack_from("<I", ram, FIRMWARE + 16)[0] + 36)[0]
    facs, dsdt = struct.unpack_from("<II", ram, fadt + 36)
    for name, address in (("facp", fadt), ("dsdt", dsdt), ("facs", facs)):
        size = struct.unpack_from("<I", ram, address + 4)[0]
        (tmp_path / f"{name}.dat").write_bytes(ram[address : address + size])
        run = subprocess.run(["iasl", "-d", f"{name}.dat"], cwd=tmp_path, capture_output=True, text=True, check=True)
        listing = (tmp_path / f"{name}.dsl").read_text()
        for text in (run.stdout + run.stderr, listing):
            assert not [line for line in text.splitlines() if "rror" in line or "arning" in line or "nvalid" in line]
    assert "\\_S5" in (tmp_path / "dsdt.dsl").read_text()
