# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of docs/trace.md and the README: of a boot of Debian's kernel, drawn by docs/pictures/boot_trace.py.

Read next: docs/pictures/boot_trace.py; test_trace_linux.py, that boot.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

PICTURES = Path(__file__).resolve().parents[2] / "docs/pictures"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["trace-boot", "trace-flame"])
def test_a_picture_can_be_read(name: str) -> None:
    file = PICTURES / f"{name}.svg"
    root = ElementTree.fromstring(file.read_bytes())
    about = root.find(f"{SVG}desc")
    assert about is not None
    assert len(about.text or "") > 80
    assert root.get("role") == "img"
    assert file.stat().st_size < 600_000
    wide = float(root.get("width") or 0)
    for each in root.iter(f"{SVG}text"):
        assert 0 <= float(each.get("x") or 0) <= wide


def test_the_boot_was_a_whole_one() -> None:
    text = (PICTURES / "trace-boot.svg").read_text()
    found = re.search(r"6\.1\.0-\d+-686 on \w+: ([\d,]+) world switches in ([\d.]+) s<", text)
    assert found
    assert int(found[1].replace(",", "")) > 20_000
    assert "mov to cr3" in text
    assert "records were lost" not in text


def test_the_flame_graph_has_the_kernels_functions() -> None:
    text = (PICTURES / "trace-flame.svg").read_text()
    assert "start_kernel: " in text
    about = ElementTree.fromstring(text).findtext(f"{SVG}desc")
    unknown = re.search(r"([\d.]+)% of the kernel's frames are unknown", about or "")
    assert unknown
    assert float(unknown[1]) < 5
