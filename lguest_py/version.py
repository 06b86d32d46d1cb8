# SPDX-License-Identifier: GPL-2.0-or-later
"""What this lguest-py is, for ``--version`` and for reports: the version, the commit, the engines that can serve.

tools/commit.py wrote the commit when the images were built.
"""

from __future__ import annotations

from pathlib import Path

from lguest_py import __version__

COMMIT = Path(__file__).parent / "_images" / "commit"
UNKNOWN = "unknown"


def commit() -> str:
    """The commit of the sources, with "+" behind it where they were changed; "unknown" where nobody knew."""
    try:
        return COMMIT.read_text().strip() or UNKNOWN
    except OSError:
        return UNKNOWN


def engines() -> list[str]:
    """One line on each engine, found by trying."""
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
