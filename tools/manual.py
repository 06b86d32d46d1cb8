# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the manual page lguest-py(1) from the verbs' own parsers: ``python tools/manual.py [FILE]``.

setup.py calls it, and installs the page.  Read next: lguest_py/cli/parsers.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lguest_py import __version__
from lguest_py.cli.parsers import Option, Verb, command_line

PAGE = Path(__file__).resolve().parent.parent / "build" / "lguest-py.1"
ENVIRONMENT = {
    "XDG_CACHE_HOME": "Where the folder lguest-py with kernels and other downloads is; ~/.cache if it is not set.",
    "NO_COLOR": "If it is set to anything, nothing is coloured.",
}
SEE_ALSO = "qemu-system-i386(1)"


def escape(text: str) -> str:
    """``text`` as roff shows it: no escape, request or hyphen in it."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(letter if letter < "\x7f" else f"\\[u{ord(letter):04X}]" for letter in text)
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def _option(option: Option) -> Iterator[str]:
    names = ", ".join(f"\\fB{escape(name)}\\fR" for name in option.names)
    value = f" \\fI{escape(option.value)}\\fR" if option.value else ""
    if option.joined:
        value = f"[=\\fI{escape(option.value)}\\fR]"
    yield ".TP"
    yield names + value
    yield escape(option.help)


def _as_it_stands(text: str) -> Iterator[str]:
    if text.strip():
        yield from (".PP", ".nf", escape(text.strip("\n")), ".fi")


def _verb(verb: Verb) -> Iterator[str]:
    parser = verb.parser
    yield f".SS {escape(f'lguest-py {verb.name}')}"
    yield f"\\fB{escape(parser.usage or parser.prog)}\\fR"
    yield ".PP"
    yield escape(parser.description or "")
    for option in verb.options:
        yield from _option(option)
    yield from _as_it_stands(parser.epilog or "")


def page() -> str:
    """The manual page."""
    main, *verbs = command_line()
    lines = [
        "." + '\\" SPDX-License-Identifier: GPL-2.0-or-later',
        f'.TH LGUEST\\-PY 1 "" "lguest\\-py {escape(__version__)}" "User Commands"',
        ".SH NAME",
        "lguest\\-py \\- run a 32\\-bit Linux in ring 1, on KVM or on an emulated CPU",
        ".SH SYNOPSIS",
        *(f"\\fB{escape(verb.parser.usage or verb.parser.prog)}\\fR\n.br" for verb in (main, *verbs)),
        ".SH DESCRIPTION",
        escape(main.summary),
        ".SH OPTIONS",
        *(line for option in main.options for line in _option(option)),
        ".SH VERBS",
        *(line for verb in verbs for line in _verb(verb)),
        ".SH ENVIRONMENT",
        *(line for name, told in ENVIRONMENT.items() for line in (".TP", f"\\fB{name}\\fR", escape(told))),
        ".SH SEE ALSO",
        escape(SEE_ALSO),
    ]
    return "".join(line + "\n" for line in lines)


def write(file: Path = PAGE) -> None:
    """Write it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page())


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:2]))
