# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line as data, for what is made from it: shell completion (completion.py), the manual (tools/manual.py).

Each verb makes its own parser when it runs; here it is given one that stops it there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

FILES = ("FILE", "DIR", "OUT")  # metavars that name a file
KERNEL = "KERNEL"  # the metavar that names a kernel that was fetched


@dataclass(frozen=True)
class Option:
    """One option: its names, its help, and the value it takes: "", or as the help shows it."""

    names: tuple[str, ...]
    help: str
    value: str
    choices: tuple[str, ...]

    @property
    def files(self) -> bool:
        """Whether its value is a file's name."""
        return self.value in FILES

    @property
    def kernels(self) -> bool:
        """Whether its value is the name of a kernel that was fetched."""
        return self.value == KERNEL


@dataclass(frozen=True)
class Verb:
    """One verb, or with an empty name what stands before the verb."""

    name: str
    summary: str
    parser: argparse.ArgumentParser
    options: tuple[Option, ...]
    words: tuple[str, ...]  # what may stand without a dash
    files: bool  # whether names of files may stand there
    kernels: bool  # whether names of kernels that were fetched may


class _MadeError(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def _parser(name: str) -> argparse.ArgumentParser:
    from lguest_py.cli.parser import Parser
    from lguest_py.cli.verbs import load

    class Shown(Parser):
        def parse_args(self, *_: Any, **__: Any) -> NoReturn:
            raise _MadeError(self)

    try:
        load(name).run(Shown, [])
    except _MadeError as made:
        return made.parser
    raise AssertionError(f"the verb {name} does not make its parser first")


def _options(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in parser._actions:
        if action.option_strings and action.help is not argparse.SUPPRESS:
            choices = tuple(map(str, action.choices or ()))
            value = "" if action.nargs == 0 else str(action.metavar or f"{{{','.join(choices)}}}")
            yield Option(tuple(action.option_strings), action.help or "", value, choices)


def _verb(name: str, summary: str, parser: argparse.ArgumentParser) -> Verb:
    places = [action for action in parser._actions if not action.option_strings]
    words = tuple(str(word) for action in places for word in action.choices or ())
    files = name == "boot" or any(str(action.metavar or action.dest).upper() in FILES for action in places)
    return Verb(name, summary, parser, tuple(_options(parser)), words, files, name == "boot")


def command_line() -> list[Verb]:
    """What stands before the verb, then every verb."""
    from lguest_py.cli.parser import make_main_parser
    from lguest_py.cli.verbs import VERBS

    main = make_main_parser()
    verbs = [_verb(name, summary, _parser(name)) for name, summary in VERBS.items()]
    return [_verb("", str(main.description), main), *verbs]
