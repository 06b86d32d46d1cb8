# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: a thin layer on lguest_py.launcher.launcher, one file a verb.

``--help`` must come at once: what a verb needs is imported when it runs.
Read next: verbs.py, then boot.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence

from lguest_py.cli.parser import Parser, make_main_parser
from lguest_py.cli.signals import unwinding
from lguest_py.cli.text import tolerate
from lguest_py.cli.verbs import VERBS, load
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.descriptors import as_descriptor_error

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a write to what is open already


def _ensure_standard_descriptors() -> None:
    """Open what the caller closed of 0, 1 and 2, so that no other file gets these numbers."""
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:
            place = os.devnull if os.path.exists(os.devnull) else "/"
            os.open(place, os.O_RDWR if place == os.devnull else os.O_RDONLY)  # the lowest number that is free
    for name, standard in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # what Python makes of one that was closed
            setattr(sys, name, open(standard, "w", closefd=False))  # noqa: SIM115
        tolerate(getattr(sys, name))


def _give_up(standard: int) -> None:
    """Writing there failed; keep the interpreter's own flush at the end quiet."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), standard)


def _say(text: object) -> None:
    """In one line, whatever is named in it: a file's name may hold line breaks, and escapes that a terminal obeys."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    try:
        print(f"lguest-py: {line}", file=sys.stderr)
    except OSError:  # then there is nobody to tell, and only the status remains
        _give_up(2)


def _run(arguments: Sequence[str]) -> int:
    parser = make_main_parser()
    if not arguments:
        parser.error("no verb was given")
    verb, rest = arguments[0], arguments[1:]
    if verb in VERBS:
        return load(verb).run(Parser, rest)
    if verb.startswith("-") and verb != "--":
        parser.parse_args([verb])  # which knows --help and --version, and comes back from neither
    raise UsageError(f"there is no verb {verb!r}: use {', '.join(VERBS)} (see lguest-py --help)")


def _guarded(arguments: Sequence[str]) -> int:
    try:
        _ensure_standard_descriptors()
        try:
            with unwinding():
                return _run(arguments)
        except LguestError as error:
            _say(error)
            return error.status
        except MemoryError:
            _say("this machine has too little memory: give the Guest less (--memory)")
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read us is gone
        _give_up(1)
        return 141
    except OSError as error:
        if error.filename is not None or error.errno not in FULL:
            raise
        _give_up(1)
        _say(f"the output cannot be written ({error.strerror}): make room, or give it another place")
        return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status (lguest_py/cli/boot.py lists them)."""
    try:
        return _guarded(sys.argv[1:] if arguments is None else arguments)
    except (OSError, ImportError) as error:
        too_few = as_descriptor_error(error)
        if not too_few:
            raise
        _say(too_few)
        return too_few.status
