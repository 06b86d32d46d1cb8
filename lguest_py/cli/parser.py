# SPDX-License-Identifier: GPL-2.0-or-later
"""The argument parsers: the class that every verb uses, and the parser of the options before the verb.

Read next: verbs.py.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from lguest_py.cli.verbs import VERBS
from lguest_py.errors import UsageError


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help in which an option's names come first, then its value once: -i, --initrd FILE."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._metavar_formatter(action, self._get_default_metavar_for_optional(action))(1)[0]
        names = ", ".join(action.option_strings)
        return f"{names}[={value}]" if action.nargs == argparse.OPTIONAL else f"{names} {value}"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError, and takes no abbreviated options."""

    def __init__(self, prog: str, usage: str, description: str, epilog: str) -> None:
        super().__init__(
            prog,
            usage,
            description,
            epilog,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with ``message`` and where the help is."""
        raise UsageError(f"{message} (see {self.prog} --help)")


class Version(argparse.Action):
    """``--version``: print the version, the commit and the engines."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """Print it and exit."""
        from lguest_py import version

        sys.stdout.write(version.text())
        parser.exit()


def make_main_parser() -> Parser:
    """The parser of the options before the verb."""
    verbs = "".join(f"  {name:<11} {summary}\n" for name, summary in VERBS.items())
    parser = Parser(
        "lguest-py",
        "lguest-py [--help] [--version] VERB …",
        "Runs a 32-bit Linux in ring 1, as lguest did, on KVM or on an emulated CPU.",
        f"verbs:\n{verbs}\n'lguest-py VERB --help' shows its options.",
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show the version, the commit and the engines here")
    return parser
