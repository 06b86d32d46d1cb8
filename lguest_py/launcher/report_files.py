# SPDX-License-Identifier: GPL-2.0-or-later
"""The files of --report, --core and --trace: opened before the Guest runs, written when it has ended.

The last is written while the Guest runs, each in place, through descriptors that stay good when root's rights are gone
(--username, --chroot).  What a file held before is lost only when its new content is written.  A file of the first two
that cannot be written whole is left empty.

Read next: report_data.py; lguest_py/postmortem/core.py.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from lguest_py.console.streams import Output
from lguest_py.errors import LguestError, UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import printable
from lguest_py.files.outputs import descriptor
from lguest_py.hardware.kinds import Disk
from lguest_py.launcher.machine_options import MachineOptions
from lguest_py.launcher.result import Result
from lguest_py.launcher.tracing import FileSink, Tracing
from lguest_py.postmortem.core import write_core
from lguest_py.postmortem.memory import Remains

if TYPE_CHECKING:
    from lguest_py.launcher.launcher import Settings

ADVICE = "give another FILE"
TRACE_GRACE = 5.0  # seconds for the rest of the trace


class _File:
    """One of them, open for writing."""

    def __init__(self, option: str, path: str, seekable: bool) -> None:
        """``seekable``: it must be a regular file of its own.  Raises UsageError or DescriptorError."""
        self.option, self.name = option, printable(path)
        self.made = ""
        number = descriptor(path)
        if seekable and number is not None:
            raise self._no_core()
        try:
            if number is not None:
                self.fd = os.dup(number)
            else:
                self.fd = self._open(path)
        except (OSError, ValueError) as error:
            check(error)
            raise self._refused(error, path) from None
        self.mode = os.fstat(self.fd).st_mode
        self.in_place = number is None and stat.S_ISREG(self.mode)
        if seekable and not self.in_place:
            self.close()
            raise self._no_core()
        if number is None:
            os.set_blocking(self.fd, True)

    def _no_core(self) -> UsageError:
        return UsageError(f"{self.option} {self.name} is no regular file, and a core has holes: {ADVICE}")

    def _open(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # opening a FIFO would wait for a reader
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        self.made = os.path.abspath(path)
        return fd

    def _refused(self, error: OSError | ValueError, path: str) -> UsageError:
        if not path:
            return UsageError(f"{self.option} has an empty name: {ADVICE}")
        if isinstance(error, OSError) and error.errno == errno.ENXIO:
            return UsageError(f"{self.option} {self.name} has no reader: start the reader first, or {ADVICE}")
        why = error.strerror if isinstance(error, OSError) else str(error)
        return UsageError(f"{self.option} {self.name} cannot be written ({why}): {ADVICE}")

    @property
    def key(self) -> tuple[int, int] | None:
        """What tells whether another name is the same regular file."""
        facts = os.fstat(self.fd)
        return (facts.st_dev, facts.st_ino) if stat.S_ISREG(facts.st_mode) else None

    def write_text(self, text: str) -> None:
        """Write it whole, from the start of a file that was named.  Raises OSError."""
        if self.in_place:
            os.ftruncate(self.fd, 0)
        rest = memoryview(text.encode())
        while rest:
            rest = rest[os.write(self.fd, rest) :]

    def forget(self) -> None:
        """Leave nothing half written, and no empty file that was not there before, as far as that can be done."""
        with contextlib.suppress(OSError):
            if self.in_place:
                os.ftruncate(self.fd, 0)
            if self.made:
                os.unlink(self.made)

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class ReportFiles:
    """Those of them that are named.  Raises UsageError for one that cannot be written.

    ``inputs``: files of the machine's own, which would be lost.  ``taken``: descriptors that get something else.
    """

    def __init__(
        self,
        report: str | None,
        core: str | None,
        inputs: Iterable[str] = (),
        taken: Iterable[int] = (),
        trace: str | None = None,
    ) -> None:
        self._report: _File | None = None
        self._core: _File | None = None
        self._trace: _File | None = None
        self._trace_output: Output | None = None
        self.errors: list[str] = []
        self._written: list[_File] = []
        try:
            if report is not None:
                self._report = _File("--report", report, seekable=False)
            if core is not None:
                self._core = _File("--core", core, seekable=True)
            if trace is not None:
                self._trace = _File("--trace", trace, seekable=False)
            self._check(list(inputs), list(taken))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ReportFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _files(self) -> list[_File]:
        return [each for each in (self._report, self._core, self._trace) if each]

    @property
    def made(self) -> list[str]:
        """Those that were not there before."""
        return [each.made for each in self._files if each.made]

    @property
    def wanted(self) -> bool:
        """Whether there is one for the end of the run."""
        return bool(self._report or self._core)

    def trace_to(self, tracing: Tracing, rate: int, say: Callable[[str], None] = lambda text: None) -> None:
        """Let the trace be written, with so many samples a second.  What goes wrong is told at once, too."""
        if not self._trace:
            return
        file = self._trace
        if file.in_place:
            os.ftruncate(file.fd, 0)
        self._written.append(file)
        self._trace_output = Output(file.fd)

        def failed(error: OSError) -> None:
            say("--trace can be written no more: the Guest goes on")
            self.errors.append(f"--trace {file.name} could not be written ({error.strerror}): {ADVICE}")

        tracing.add(FileSink(self._trace_output, failed), rate)

    def trace_ended(self) -> None:
        """Write the rest of the trace."""
        if self._trace and self._trace_output:
            dropped = self._trace_output.finish(TRACE_GRACE)
            error = self._trace_output.error
            if (dropped or error) and not any(each.startswith("--trace ") for each in self.errors):
                why = (error.strerror if error else None) or "nobody reads it"
                self.errors.append(f"--trace {self._trace.name} could not be written to its end ({why}): {ADVICE}")
            self._trace_output.close()

    def _check(self, inputs: list[str], taken: list[int]) -> None:
        known: dict[tuple[int, int], str] = {}
        for name in inputs:
            with contextlib.suppress(OSError, ValueError):
                facts = os.stat(name)
                known[facts.st_dev, facts.st_ino] = f"is the machine's own file {printable(name)}"
        for number in taken:
            with contextlib.suppress(OSError):
                facts = os.fstat(number)
                known[facts.st_dev, facts.st_ino] = "already gets the console or the messages"
        for file in self._files:
            if file.key is None or not file.in_place:
                continue
            if file.key in known:
                raise UsageError(f"{file.option} {file.name} {known[file.key]}: {ADVICE}")
            known[file.key] = f"is the file of {file.option}, too"

    def autopsy(self, remains: Remains) -> None:
        """Write the core.  What goes wrong is one line in ``errors``."""
        if self._core:
            self._tried(self._core, lambda file: write_core(file.fd, remains))

    def write(self, result: Result) -> None:
        """Write the report.  What goes wrong is one line in ``errors``."""
        if self._report:
            text = json.dumps(result.report().as_dict(), indent=1) + "\n"
            self._tried(self._report, lambda file: file.write_text(text))

    def _tried(self, file: _File, write: Callable[[_File], None]) -> None:
        try:
            write(file)
            self._written.append(file)
        except OSError as error:
            file.forget()
            self._written.append(file)
            self.errors.append(f"{file.option} {file.name} could not be written ({error.strerror}): {ADVICE}")

    def raise_errors(self) -> None:
        """Raise LguestError for what could not be written."""
        if self.errors:
            raise LguestError("; ".join(self.errors))

    def close(self) -> None:
        """Close them; one that was never written to is as it was before."""
        for file in self._files:
            if file not in self._written and file.made:
                file.forget()
            file.close()
        self._report = self._core = self._trace = None


def open_report_files(
    machine: MachineOptions, settings: Settings, machine_file: str | None = None, json: bool = False
) -> ReportFiles:
    """Those that ``machine`` asks for.  ``json``: standard output is for the object of --json."""
    if json and machine.report is not None and descriptor(machine.report) == 1:
        raise UsageError(f"--report {printable(machine.report)} is where --json writes: {ADVICE}")
    saved = settings.saved.path if settings.saved else None
    inputs = [settings.image.path, settings.initrd, machine_file, machine.root, saved]
    disks = [each.path for each in settings.devices if isinstance(each, Disk)]
    given = [*filter(None, inputs), *disks]
    return ReportFiles(machine.report, machine.core, given, taken=(1, 2), trace=machine.trace)
