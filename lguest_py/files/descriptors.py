# SPDX-License-Identifier: GPL-2.0-or-later
"""Too few file descriptors, told as that wherever one was to be opened, and not as what was missed for want of it.

A handler of OSError that gives a reason of its own calls ``check`` first.  Read next: lguest_py/errors.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from lguest_py.errors import LguestError

ENOUGH = 64  # what any verb gets along with, QEMU's own included
_LACKING = (errno.EMFILE, errno.ENFILE)


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


def told(number: int = errno.EMFILE) -> DescriptorError:
    """The error for the user."""
    if number == errno.ENFILE:
        return DescriptorError("too many open files in the whole system (ENFILE): end programs, or raise fs.file-max")
    limits, hard = _limits()
    advice = f"raise it (ulimit -n {ENOUGH})"
    if hard is not None and hard < ENOUGH:
        advice = f"start lguest-py where the hard limit is {ENOUGH} or more"
    return DescriptorError(f"too many open files (RLIMIT_NOFILE: {limits}): {advice}")


def names_it(text: str) -> bool:
    """Whether another program's words say that it ran into this; the dynamic loader's are a number."""
    return any(words in text for words in (os.strerror(errno.EMFILE), "Too many open files", f"Error {errno.EMFILE}"))


def scarce() -> bool:
    """Whether another program that fails and does not say why may well have run into this."""
    return 0 < os.sysconf("SC_OPEN_MAX") < ENOUGH // 2


def lacking(error: BaseException) -> DescriptorError | None:
    """The error for the user, if ``error`` came of too few descriptors."""
    if isinstance(error, OSError) and error.errno in _LACKING:
        return told(error.errno)
    if isinstance(error, ImportError) and names_it(str(error)):  # a library that could not be opened
        return told()
    return None


def check(error: BaseException) -> None:
    """Raise DescriptorError if ``error`` came of too few descriptors."""
    if few := lacking(error):
        raise few from None


@contextlib.contextmanager
def enough() -> Iterator[None]:
    """Within it, too few descriptors are a DescriptorError."""
    try:
        yield
    except (OSError, ImportError) as error:
        check(error)
        raise
