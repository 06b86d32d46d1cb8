# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py trace``: the world switches of a running Guest, or of one that was recorded, as text or as a picture.

Read next: lguest_py/trace/stream.py; docs/trace.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lguest_py.errors import LguestError, UsageError
from lguest_py.launcher.values import rate, seconds

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser
    from lguest_py.trace.names import Names
    from lguest_py.trace.stream import Item
    from lguest_py.trace.table import Table
    from lguest_py.trace.text import Output

USAGE = "lguest-py trace [options] NAME\n       lguest-py trace [options] --read FILE"
DESCRIPTION = "Show the world switches of a running Guest: why, where, and how long the Host kernel took."
EPILOG = """\
NAME is that of boot --name, or the number of its process: lguest-py ps shows both.  Ctrl-C ends the trace; the Guest
goes on, and nothing of the trace is left in it.  To trace a Guest from its first instruction:

  lguest-py boot --trace boot.trace IMAGE
  lguest-py trace --read boot.trace --svg boot.svg

Without --top and without a picture each switch is a line.  Several pictures may be made at once.  Traps that the
Switcher answers by itself are no world switches: they are counted, with the next switch.

exit status: 0 (also after Ctrl-C), or 1 where there is no such Guest or a file cannot be written, 2 for wrong use; 141
when the reader of the output is gone
"""
RATE = 997  # no multiple of what a Guest does regularly
ADVICE = "give another place"


def _parse(make_parser: MakeParser, arguments: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("lguest-py trace", USAGE, DESCRIPTION, EPILOG)
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="the running Guest")
    add("--read", metavar="FILE", help="not a running Guest, but what boot --trace or --write recorded")
    add("--write", metavar="FILE", help="record, for --read")
    add("-o", "--output", metavar="FILE", help="the lines to FILE")
    add("--json", action="store_true", help="a JSON object a line")
    add("--top", action="store_true", help="a table by cause: live at a terminal, else once at the end")
    add("--svg", metavar="FILE", help="all of it as one picture, with the costliest causes")
    add("--perfetto", metavar="FILE", help="a timeline for ui.perfetto.dev: Guest, Host kernel, Launcher")
    add("--flame", metavar="FILE", help="a flame graph (SVG) of the Guest's kernel, by samples")
    add("--folded", metavar="FILE", help="the samples as folded stacks, for other programs")
    add("--rate", metavar="N", type=rate, help=f"samples a second ({RATE})")
    add("--seconds", metavar="N", type=seconds, help="end the trace after this time")
    add("--symbols", metavar="FILE", help="names from a vmlinux or a System.map (else from the Guest's image)")
    options = parser.parse_args(arguments)
    if (options.name is None) == (options.read is None):
        parser.error("give the NAME of a running Guest, or --read FILE")
    if options.read is not None and (options.seconds is not None or options.rate is not None):
        parser.error("--seconds and --rate are for a running Guest: how long --read goes on was decided by boot")
    if options.json and options.top and options.output is None:
        parser.error("--json is for the lines: leave --top out, or give -o FILE, too")
    return options


def _cannot(what: str, error: OSError | ValueError) -> LguestError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return LguestError(f"{what} cannot be written ({why}): {ADVICE}")


class _File:
    """A file that is written while the trace goes on, in place.  Each method raises LguestError, or BrokenPipeError."""

    def __init__(self, path: str) -> None:
        from lguest_py.files.inputs import printable
        from lguest_py.files.outputs import descriptor

        self._name = printable(path)
        number = descriptor(path)
        try:
            self._file = open(path if number is None else os.dup(number), "wb")  # noqa: SIM115
        except (OSError, ValueError) as error:
            raise _cannot(self._name, error) from None

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot(self._name, error) from None

    def text(self, text: str) -> None:
        self.write(text.encode())

    def close(self) -> None:
        try:
            self._file.close()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot(self._name, error) from None


def _print(text: str) -> None:
    """To the standard output, whose errors are not taken for those of a file."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot("the output", error) from None


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot("the output", error) from None


class _Pictures:
    """What is written to a file at the end."""

    def __init__(self, options: argparse.Namespace) -> None:
        given = {name: getattr(options, name) for name in ("svg", "perfetto", "flame", "folded")}
        self._wanted = {name: path for name, path in given.items() if path is not None}
        for name, path in self._wanted.items():
            if os.path.isdir(path) or not os.path.isdir(os.path.dirname(path) or "."):
                raise UsageError(f"--{name} {path} cannot be written: give a file in a directory that exists")
        self.outputs: list[Output] = []

    def open(self, names: Names, stack: contextlib.ExitStack) -> None:
        """Make them."""
        from lguest_py.files.outputs import writing

        if not self._wanted:
            return
        from lguest_py.trace.flame import Flame
        from lguest_py.trace.perfetto import Perfetto
        from lguest_py.trace.picture import Picture

        files = {name: stack.enter_context(writing(path, ADVICE)) for name, path in self._wanted.items()}
        if file := files.get("svg"):
            self.outputs.append(Picture(file))
        if file := files.get("perfetto"):
            self.outputs.append(Perfetto(names, file))
        if "flame" in files or "folded" in files:
            self.outputs.append(Flame(names, files.get("flame"), files.get("folded")))


def _size() -> tuple[int, int]:
    size = os.get_terminal_size(1)
    return (size.columns, size.lines) if size.columns and size.lines else (80, 24)


def _data(options: argparse.Namespace) -> Iterator[bytes]:
    from lguest_py.trace import live

    if options.read is not None:
        return live.from_file(options.read)
    from lguest_py.control.client import Running

    wants = options.rate or (RATE if options.flame or options.folded else 0)
    return live.from_guest(Running(options.name), wants, options.seconds)


def _names(options: argparse.Namespace, facts: Mapping[str, Any]) -> Names:
    from lguest_py.trace.names import Names, from_file, from_image

    if options.symbols is not None:
        known = from_file(options.symbols)
        return Names(lambda: known)
    image = facts.get("image")
    return Names(lambda: from_image(image) if isinstance(image, str) and image else None)


class _Consumers:
    """All that is made of one trace.  They are made when its facts are known."""

    def __init__(self, options: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        self._options, self._stack = options, stack
        self._pictures = _Pictures(options)
        self._outputs: list[Output] = []
        self._table: Table | None = None
        self._made = False

    def _make(self, facts: Mapping[str, Any]) -> None:
        from lguest_py.trace.table import Table
        from lguest_py.trace.text import Json, Text

        options, self._made = self._options, True
        names = _names(options, facts)
        self._pictures.open(names, self._stack)
        self._outputs += self._pictures.outputs
        lines = not self._outputs and options.write is None and not options.top
        if options.top:
            at_terminal = os.isatty(1) and options.read is None
            self._table = Table(_print, _size if at_terminal else None)
            self._stack.callback(self._give_back)
            self._outputs.append(self._table)
        if lines or options.output is not None or (options.json and not options.top):
            write = self._writer()
            self._outputs.append(Json(names, write) if options.json else Text(names, write))

    def _writer(self) -> Callable[[str], object]:
        if self._options.output is None:
            return _print
        file = _File(self._options.output)
        self._stack.callback(file.close)
        return file.text

    def _give_back(self) -> None:
        if self._table:
            with contextlib.suppress(OSError, LguestError):
                self._table.leave()
                _flush()

    def take(self, item: Item) -> None:
        """One more."""
        if not self._made:
            self._make(getattr(item, "values", {}))
        for each in self._outputs:
            each.take(item)

    def tick(self) -> None:
        """Show what there is by now."""
        if self._table:
            self._table.tick()
        if self._made:
            _flush()

    def end(self) -> None:
        """There are no more; there may have been none."""
        if not self._made:
            self._make({})
        for each in self._outputs:
            each.end()
        _flush()


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = _parse(make_parser, arguments)

    from lguest_py.files.inputs import printable
    from lguest_py.trace.stream import Stream

    if options.symbols is not None:
        _names(options, {})  # what is wrong with them is said before anything is recorded
    stream = Stream(printable(options.read if options.read is not None else options.name))
    with contextlib.ExitStack() as stack:
        consumers = _Consumers(options, stack)
        raw = _File(options.write) if options.write is not None else None
        if raw:
            stack.callback(raw.close)
        with contextlib.suppress(KeyboardInterrupt):
            for data in _data(options):
                if raw:
                    raw.write(data)
                for item in stream.feed(data):
                    consumers.take(item)
                consumers.tick()
        if stream.begun or options.read is not None:
            for item in stream.end():
                consumers.take(item)
        consumers.end()
    if stream.damaged and options.read is not None:
        sys.stderr.write(f"lguest-py: {printable(options.read)} ends within a record: what is before it was shown\n")
    return 0
