# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: finds the verb, runs it, and turns each error into one line and an exit status.

A verb imports what it needs when it runs, so that ``--help`` is quick.
Read next: verbs.py, then boot.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Sequence

from lguest_py.cli.parser import Parser, make_main_parser
from lguest_py.cli.signals import unwinding
from lguest_py.cli.text import tolerate
from lguest_py.cli.verbs import VERBS, load
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.descriptors import as_descriptor_error

own_process = False  # this process is the command line's, and nobody's who has other work for it
spare = -1  # /dev/null, open for a process that may open no file any more
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a write to an open file


def _ensure_standard_descriptors() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed, so that no other file gets these numbers."""
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:
            place = os.devnull if os.path.exists(os.devnull) else "/"
            os.open(place, os.O_RDWR if place == os.devnull else os.O_RDONLY)  # gets the lowest free number
    for name, standard in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:  # Python found the descriptor closed
            setattr(sys, name, open(standard, "w", closefd=False))  # noqa: SIM115
        tolerate(getattr(sys, name))


def _discard_output(standard: int) -> None:
    """Send later output to /dev/null after a failed write: the interpreter's flush at exit would fail again."""
    with contextlib.suppress(OSError):
        os.dup2(spare if spare >= 0 else os.open(os.devnull, os.O_WRONLY), standard)


def _say(text: object) -> None:
    """Print one line on stderr.  A file's name in it may have line breaks and terminal escapes: they are escaped."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    try:
        print(f"lguest-py: {line}", file=sys.stderr)
    except OSError:  # nobody reads stderr; the exit status says it
        _discard_output(2)


def _run(arguments: Sequence[str]) -> int:
    parser = make_main_parser()
    if not arguments:
        parser.error("no verb was given")
    verb, rest = arguments[0], arguments[1:]
    if verb in VERBS:
        return load(verb).run(Parser, rest)
    if verb.startswith("-") and verb != "--":
        parser.parse_args([verb])  # --help and --version, which do not return
    raise UsageError(f"there is no verb {verb!r}: use {', '.join(VERBS)} (see lguest-py --help)")


def _run_reporting_errors(arguments: Sequence[str]) -> int:
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
            return 128 + signal.SIGINT
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe is gone
        _discard_output(1)
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is not None or error.errno not in WRITE_ERRORS:
            raise
        _discard_output(1)
        _say(f"the output cannot be written ({error.strerror}): make room, or write it to another place")
        return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status (lguest_py/cli/boot.py lists them).

    Without ``arguments`` they are the process's own: then it may put walls around itself that it cannot leave.
    """
    global own_process
    own_process = arguments is None
    try:
        return _run_reporting_errors(sys.argv[1:] if arguments is None else arguments)
    except (OSError, ImportError) as error:
        too_few = as_descriptor_error(error)
        if not too_few:
            raise
        _say(too_few)
        return too_few.status
