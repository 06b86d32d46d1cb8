# SPDX-License-Identifier: GPL-2.0-or-later
"""The error for a process or system with too many open files, wherever one was to be opened.

A handler of OSError with a message of its own calls ``check`` first, so that the message names the real cause.
Read next: lguest_py/errors.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from lguest_py.errors import LguestError

ADVISED_LIMIT = 64  # open files that suffice for any verb, QEMU's included
_TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)


class DescriptorError(LguestError):
    """A file could not be opened because too many are open."""


def _limits() -> tuple[str, int | None]:
    """The limits as text, and the hard one (None: not known, or none)."""
    soft = os.sysconf("SC_OPEN_MAX")
    try:
        import resource  # may be a file of its own, which has to be opened
    except (ImportError, OSError):
        return f"soft limit {soft}", None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        return f"soft limit {soft}, no hard limit", None
    return f"soft limit {soft}, hard limit {hard}", hard


def too_many_open(number: int = errno.EMFILE) -> DescriptorError:
    """The error for the user."""
    if number == errno.ENFILE:
        return DescriptorError("too many open files in the whole system (ENFILE): end programs, or raise fs.file-max")
    limits, hard = _limits()
    advice = f"raise it (ulimit -n {ADVISED_LIMIT})"
    if hard is not None and hard < ADVISED_LIMIT:
        advice = f"start lguest-py where the hard limit is {ADVISED_LIMIT} or more"
    return DescriptorError(f"too many open files (RLIMIT_NOFILE: {limits}): {advice}")


def reports_too_many_open(text: str) -> bool:
    """Whether another program's message reports this error; the dynamic loader prints its number."""
    return any(words in text for words in (os.strerror(errno.EMFILE), "Too many open files", f"Error {errno.EMFILE}"))


def limit_is_low() -> bool:
    """Whether the limit may be why another program failed without a message."""
    return 0 < os.sysconf("SC_OPEN_MAX") < ADVISED_LIMIT // 2


def as_descriptor_error(error: BaseException) -> DescriptorError | None:
    """The DescriptorError for ``error``, if it came of too few descriptors; else None."""
    if isinstance(error, OSError) and error.errno in _TOO_MANY_OPEN:
        return too_many_open(error.errno)
    if isinstance(error, ImportError) and reports_too_many_open(str(error)):  # a library that could not be opened
        return too_many_open()
    return None


def check(error: BaseException) -> None:
    """Raise DescriptorError if ``error`` came of too few descriptors."""
    if too_few := as_descriptor_error(error):
        raise too_few from None


@contextlib.contextmanager
def descriptor_errors() -> Iterator[None]:
    """Within the context, an error from too few descriptors becomes a DescriptorError."""
    try:
        yield
    except (OSError, ImportError) as error:
        check(error)
        raise
