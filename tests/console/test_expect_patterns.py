# SPDX-License-Identifier: GPL-2.0-or-later
"""``Console.expect``: what is no pattern of text is refused by name, whatever was printed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lguest_py.console.expect import Console, Keyboard


@pytest.mark.parametrize("pattern", [b"x", re.compile(b"x"), None, ["x"]], ids=["bytes", "bytes-re", "none", "list"])
def test_what_is_no_pattern_of_text_is_a_type_error(pattern: Any) -> None:
    keyboard = Keyboard()
    try:
        with pytest.raises(TypeError, match=r"expect\(\) takes a str or a compiled pattern"):
            Console(keyboard, 0).expect(pattern, timeout=0)
    finally:
        keyboard.close()
