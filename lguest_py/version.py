# SPDX-License-Identifier: GPL-2.0-or-later
"""The version, the commit and the engines that work here, for ``--version`` and for reports.

tools/commit.py writes the commit when the images are built.  Read next: lguest_py/engines/__init__.py.
"""

from __future__ import annotations

from pathlib import Path

from lguest_py import __version__

COMMIT = Path(__file__).parent / "_images" / "commit"
UNKNOWN = "unknown"


def commit() -> str:
    """The commit that the images were built from, with a "+" if the sources were changed; or "unknown"."""
    try:
        return COMMIT.read_text().strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def engines() -> list[str]:
    """One line for each engine: it is tried, and works or does not."""
    from lguest_py.engines import choose
    from lguest_py.errors import NoEngineError

    lines = []
    for name in ("kvm", "tcg"):
        try:
            lines.append(f"engine {name}: {choose(name).why}")
        except NoEngineError as error:
            lines.append(str(error))
    return lines


def text() -> str:
    """What ``--version`` prints."""
    return "".join(line + "\n" for line in (f"lguest-py {__version__} (commit {commit()})", *engines()))
