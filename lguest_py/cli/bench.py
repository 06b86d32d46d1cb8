# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py bench``: measure what the operations of a Guest cost.

Read next: lguest_py/bench/catalogue.py, what is measured; lguest_py/measurements/row.py, the results.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lguest_py.cli.boot_options import MakeParser
from lguest_py.errors import UsageError

if TYPE_CHECKING:
    from lguest_py.bench.catalogue import Suite
    from lguest_py.measurements.record import Record
    from lguest_py.measurements.stats import Repetitions

USAGE = "lguest-py bench [options] [NAME …]"
EPILOG = """\
NAME: see --list.  Without one, everything in the tiny Guest and the Host kernel; with --linux everything in Linux.

Each is measured until its minimum does not fall by 1 %: in 3 runs one after the other, or with --icount in 2 runs that
are equal; at most --runs times.  The clock's own cost is subtracted.  Times on an emulated CPU say little about a real
one, and instructions nothing about a CR3 load: the counts beside them are what carries over.

``devices`` names all that is measured of devices, ``saved`` all of saved Guests; --switcher lean is enough for them.

What runs in Linux, and boot, is measured natively too, on the same engine with the same kernel.
The kernel: --image, else bzImage in the directory LGUEST_LINUX, else debian-6.1-686 as lguest-py fetch got it; boot
takes the last one, or --image.

--json prints one line of JSON, so that lines can be gathered in a file; --compare reads the last one of such a file.
"""
MOST_RUNS = 1000
GROUPS = {"micro": "in the tiny Guest and the Host kernel", "linux": "in Linux (--linux)", "boot": "of a whole boot",
          "devices": "of devices, in Linux (all: devices)",
          "saved": "of a Guest that was saved, against one that boots (all: saved)"}  # fmt: skip


class _Known(list[str]):
    """All names, for the shell's completion.  argparse accepts any; sources.select() has a better error."""

    def __contains__(self, _: object) -> bool:
        return True


class _Names(argparse.Action):
    """NAME …: ``choices`` imports the modules that have the names, which --help does not need, only when it is read."""

    @property
    def choices(self) -> list[str]:
        """All names; none while the package is built: the manual is made before the files that have them."""
        try:
            from lguest_py.bench.catalogue import names

            return _Known(names())
        except ImportError:
            return _Known()

    @choices.setter
    def choices(self, _: object) -> None:
        pass

    def __call__(self, _: object, options: argparse.Namespace, values: object, __: str | None = None) -> None:
        options.names = values


def _runs(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MOST_RUNS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs: give 1 to {MOST_RUNS}")
    return int(text)


def _parse(make_parser: MakeParser, arguments: Sequence[str]) -> argparse.Namespace:
    parser = make_parser("lguest-py bench", USAGE, "Measure what a Guest costs, and where it goes.", EPILOG)
    add = parser.add_argument
    add("names", metavar="NAME", nargs="*", action=_Names, help="what to measure")
    add("--list", action="store_true", help="list what can be measured")
    add("--linux", action="store_true", help="measure in Linux, in a Guest and natively")
    add("--image", metavar="FILE", help="the kernel to measure in")
    add("--initrd", metavar="FILE", help="an initial RAM disk in place of the measurement's own")
    add("--engine", choices=("auto", "kvm", "tcg"), default="auto", help="what runs the Guest (auto)")
    add("--switcher", choices=("classic", "lean", "both"), default="both", help="which Switcher (both)")
    add("--icount", action="store_true", help="count instructions instead of time")
    add("--runs", metavar="N", type=_runs, help="measure at most N times (10; in Linux 5; boot 1)")
    add("--json", action="store_true", help="one line of JSON on stdout")
    add("--plot", metavar="FILE", help="draw it: FILE.svg or FILE.png")
    add("--compare", metavar="FILE", help="show what changed beyond noise since --json wrote FILE")
    add("--export", metavar="FILE", help="write the result without what identifies this machine")
    return parser.parse_args(arguments)


def _list() -> None:
    from lguest_py.bench.catalogue import catalogue

    for kind, known in catalogue().items():
        print(f"{GROUPS[kind]}:")
        for name, about in known.items():
            print(f"  {name:<24} {about}")


def _check_writable(path: str | None) -> None:
    """Raise UsageError for a file that cannot be written, before the long measurement."""
    if path and (os.path.isdir(path) or not os.path.isdir(os.path.dirname(path) or ".")):
        raise UsageError(f"{path} cannot be written: give a file in a directory that exists")


def _repeat(suite: Suite, say: Callable[[str], None]) -> Repetitions:
    from lguest_py.measurements.stats import repeat

    title = " ".join(filter(None, (suite.kind, suite.switcher)))
    say(title)

    def report_run(run: int, moved: list[str]) -> None:
        more = f", {len(moved)} minima moved: {', '.join(moved[:3])}{' …' if len(moved) > 3 else ''}" if moved else ""
        say(f"{title}: run {run} of at most {suite.runs}{more}")

    return repeat(suite.measure, suite.runs, suite.counted, report_run)


def measure(options: argparse.Namespace, old: Record | None) -> Record:
    """Measure what the options name.  Raises LguestError, also if ``old`` cannot be compared with it."""
    from datetime import UTC, datetime

    from lguest_py.bench import catalogue
    from lguest_py.console.progress import Progress
    from lguest_py.measurements import compare, record, stats
    from lguest_py.measurements.environment import describe

    chosen = catalogue.select(options.names, options.linux)
    with_kernel = [kind for kind, names in chosen.items() if catalogue.needs_kernel(kind, names)]
    kernels = {kind: catalogue.kernel(kind, options.image, options.initrd) for kind in with_kernel}
    here = describe(options.engine, options.icount, [kernel.release for kernel in kernels.values()])
    if old:
        compare.check_alike(options.compare, old, here.engine, options.icount)
    wanted = [
        catalogue.Suite(kind, switcher, tuple(names), options.runs or catalogue.RUNS[kind], here.engine,
                       options.icount, kernels.get(kind))
        for kind, names in chosen.items()
        for switcher in catalogue.SWITCHERS[options.switcher]
    ]  # fmt: skip
    with Progress("measuring") as progress:
        done = [_repeat(suite, progress.say) for suite in wanted]
    moving = sorted({" ".join(filter(None, key[:3])) for each in done for key in each.unstable if each.runs > 1})
    if moving:
        print(f"lguest-py: minima that moved until the end (give more --runs): {', '.join(moving)}", file=sys.stderr)
    rows = tuple(stats.merged(row for each in done for row in each.rows))
    if not rows:
        how = f"engine {here.engine}{' with --icount' if options.icount else ''}"
        raise UsageError(f"nothing of {', '.join(options.names)} can be measured on the {how}")
    return record.Record(here, rows, datetime.now(UTC).isoformat(timespec="seconds"))


def _write(path: str, text: str) -> None:
    from lguest_py.files.outputs import writing

    with writing(path, "choose another place (--export)") as file:
        file.write(text.encode())


def run(make_parser: MakeParser, arguments: Sequence[str]) -> int:
    """Run the verb, and return the exit status.  Raises LguestError."""
    options = _parse(make_parser, arguments)
    if options.list:
        _list()
        return 0
    for path in (options.plot, options.export):
        _check_writable(path)

    import json

    from lguest_py.measurements import compare, export, plot, record, table

    old = record.read(options.compare) if options.compare else None
    if options.plot:
        plot.check(options.plot)
    new = measure(options, old)
    print(json.dumps(record.as_dict(new)) if options.json else table.table(new), end="\n" if options.json else "")
    if options.export:
        _write(options.export, export.text(new))
    if options.plot:
        plot.draw(new, options.plot)
    if old:
        print(compare.compare(options.compare, old, new), end="", file=sys.stderr if options.json else sys.stdout)
    sys.stdout.flush()
    return 0
