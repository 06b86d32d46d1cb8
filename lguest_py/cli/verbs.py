# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of the command line.  Each is a module here or in lguest_py/running, imported when it is used.

Read next: boot.py, the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from lguest_py.cli.boot_options import MakeParser

VERBS: Final = {
    "boot": "boot a Guest with its console on this terminal",
    "ps": "show the Guests that run",
    "stat": "show what a running Guest is and has done",
    "attach": "make this terminal the console of a Guest of boot --detach",
    "pause": "let a running Guest stand still",
    "resume": "let it go on",
    "stop": "end a running Guest",
    "gdb": "be gdb's connection to a running Guest",
    "dump": "write the memory of a running Guest to a file, for gdb",
    "trace": "show the world switches of a running Guest, as text or as a picture",
    "save": "write a running Guest to a file",
    "restore": "let a Guest go on from such a file",
    "fetch": "get a distribution's kernel, to boot it by its name",
    "mkinitrd": "make an initrd from a directory, or from a busybox",
    "doctor": "show what this machine can do, and how to mend what it cannot",
    "watch": "show one world switch, instruction by instruction",
    "bench": "measure what a Guest costs",
    "cache": "show what is in the cache folder, or delete it",
    "completion": "print the completion script of this command line for a shell",
}

# Those in lguest_py/running.
RUNNING: Final = {"ps", "stat", "attach", "pause", "resume", "stop", "gdb", "dump", "trace", "save"}


class Verb(Protocol):
    """A verb's module.  ``run`` makes its parser, parses, and only then imports what takes long."""

    def run(self, make_parser: MakeParser, arguments: Sequence[str]) -> int:
        """Run the verb, and return the exit status."""


def load(name: str) -> Verb:
    """The verb's module."""
    return cast(Verb, import_module(f"lguest_py.{'running' if name in RUNNING else 'cli'}.{name}"))
