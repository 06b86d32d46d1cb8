# SPDX-License-Identifier: GPL-2.0-or-later
"""The parser of the command line: what all verbs share, and what stands before the verb."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from lguest_py.cli.verbs import VERBS
from lguest_py.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Errors are one line, and no option may be shortened."""

    def __init__(self, prog: str, usage: str, description: str, epilog: str) -> None:
        super().__init__(
            prog,
            usage,
            description,
            epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message} (see {self.prog} --help)")


class Version(argparse.Action):
    """``--version``: what this is, and which engines can serve here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """Print it and exit."""
        from lguest_py import version

        sys.stdout.write(version.text())
        parser.exit()


def make_main_parser() -> Parser:
    """The parser of what stands before the verb."""
    verbs = "".join(f"  {name:<11} {summary}\n" for name, summary in VERBS.items())
    parser = Parser(
        "lguest-py",
        "lguest-py [--help] [--version] VERB …",
        "Runs a 32-bit Linux in ring 1, as lguest did, on KVM or on an emulated CPU.",
        f"verbs:\n{verbs}\n'lguest-py VERB --help' tells more.",
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show the version, the commit and the engines here")
    return parser
