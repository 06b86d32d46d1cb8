# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line as data, for shell completion (completion.py) and the manual (tools/manual.py).

A verb makes its parser when it runs.  Here it gets a parser class that raises as soon as it is to parse.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

FILES = ("FILE", "DIR", "OUT", "SOCKET")  # metavars that name a file
KERNEL = "KERNEL"  # the metavar that names a fetched kernel


@dataclass(frozen=True)
class Option:
    """One option.  ``value`` is its metavar, or "" if it takes no value.

    ``joined``: a value can be left out, and else is joined to the option by "=".
    """

    names: tuple[str, ...]
    help: str
    value: str
    choices: tuple[str, ...]
    joined: bool = False

    @property
    def files(self) -> bool:
        """Whether its value is, or begins with, a file's name."""
        return self.value.partition("[")[0] in FILES

    @property
    def kernels(self) -> bool:
        """Whether its value is the name of a fetched kernel."""
        return self.value == KERNEL


@dataclass(frozen=True)
class Verb:
    """One verb; with an empty name, the options before the verb."""

    name: str
    summary: str
    parser: argparse.ArgumentParser
    options: tuple[Option, ...]
    words: tuple[str, ...]  # the positional arguments with a fixed set of values
    files: bool  # whether a positional argument is a file
    kernels: bool  # whether a positional argument is a fetched kernel


class _ParserMade(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def _parser(name: str) -> argparse.ArgumentParser:
    from lguest_py.cli.parser import Parser
    from lguest_py.cli.verbs import load

    class StoppingParser(Parser):
        def parse_args(self, *_: Any, **__: Any) -> NoReturn:
            raise _ParserMade(self)

    try:
        load(name).run(StoppingParser, [])
    except _ParserMade as made:
        return made.parser
    raise AssertionError(f"the verb {name} does not make its parser first")


def _options(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in parser._actions:
        if action.option_strings and action.help is not argparse.SUPPRESS:
            choices = tuple(map(str, action.choices or ()))
            value = "" if action.nargs == 0 else str(action.metavar or f"{{{','.join(choices)}}}")
            joined = action.nargs == argparse.OPTIONAL
            yield Option(tuple(action.option_strings), action.help or "", value, choices, joined)


def _verb(name: str, summary: str, parser: argparse.ArgumentParser) -> Verb:
    places = [action for action in parser._actions if not action.option_strings]
    words = tuple(str(word) for action in places for word in action.choices or ())
    files = name in ("boot", "watch") or any(str(action.metavar or action.dest).upper() in FILES for action in places)
    return Verb(name, summary, parser, tuple(_options(parser)), words, files, name in ("boot", "watch"))


def command_line() -> list[Verb]:
    """The options before the verb, then every verb."""
    from lguest_py.cli.parser import make_main_parser
    from lguest_py.cli.verbs import VERBS

    main = make_main_parser()
    verbs = [_verb(name, summary, _parser(name)) for name, summary in VERBS.items()]
    return [_verb("", str(main.description), main), *verbs]
