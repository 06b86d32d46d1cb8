# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest in a Python program: ``lguest_py.Machine``.

    import lguest_py

    with lguest_py.Machine("bzImage", initrd="initrd", memory="128M", command_line="console=hvc0") as machine:
        machine.console.expect("# ", timeout=120)
        machine.console.sendline("uname -m; poweroff -f")
        machine.console.expect("i686")
        result = machine.wait(timeout=60)
    assert result.status == 0

The Launcher runs in a thread of its own.  The end of the ``with`` ends a Guest that still runs, and leaves no process,
thread or file descriptor behind.

Read next: lguest_py/launcher/launcher.py, the Launcher; lguest_py/console/expect.py, the console;
lguest_py/launcher/result.py, what ``wait`` returns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from lguest_py.console.expect import Console, Keyboard
from lguest_py.console.stopping import StopSignals
from lguest_py.errors import UsageError
from lguest_py.files.descriptors import descriptor_errors
from lguest_py.files.inputs import printable
from lguest_py.hardware.kinds import Hardware
from lguest_py.hardware.together import complete
from lguest_py.launcher.launcher import Launcher, Settings, prepare, prepare_saved
from lguest_py.launcher.machine_file import with_file
from lguest_py.launcher.machine_options import MachineOptions
from lguest_py.launcher.report import headline
from lguest_py.launcher.report_files import open_report_files
from lguest_py.launcher.requests import Requests
from lguest_py.launcher.result import Result
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.values import size

if TYPE_CHECKING:
    from lguest_py.engines import Choice
    from lguest_py.engines.base import Engine
    from lguest_py.launcher.vm import Vm


class NotBootedError(UsageError, AttributeError):
    """An attribute that the boot makes was used before it.  An AttributeError, so that ``hasattr`` is False."""


class Machine:
    """One Guest.  The constructor reads the image, ``with`` boots it, and the end of the ``with`` ends it.

    ``image``: a bzImage, an ELF, or the name of a fetched kernel; None is the bundled tiny Guest.  It may be a machine
    file too (MACHINE.toml, docs/devices.md): what is None or not given here is then as the file says, the words of
    ``command_line`` come behind the file's, and ``devices`` behind its devices.
    ``initrd``: a file; None for none, or for the fetched kernel's own.
    ``root``: a file for a fetched system's root disk, made if it is not there; None: what is written is lost.
    ``memory``: the Guest's RAM in bytes, or as text ("64M"); None is 64M, for a fetched system 256M.
    ``command_line``: the kernel's command line as it reads it ('console=hvc0 run="uname -m"'), or a list of words,
    which are quoted so that each arrives whole (["console=hvc0", "run=uname -m"]).
    ``engine``: "auto", "kvm" or "tcg"; the attribute ``engine`` is the one that was chosen.
    ``on_reboot``: "restart" boots again, "exit" ends the run.
    ``timeout``: seconds for the whole run, from here on; then the Guest is ended.
    ``switcher``: the code of the world switch: "lean", or "classic" (the reference).
    ``devices``: disks, networks and other hardware, in the order in which the Guest finds them:
    [lguest_py.Disk("root.img", readonly=True), lguest_py.Network("user"), lguest_py.Share(".")].
    ``report`` and ``core``: files that are written at the end, as by the options of lguest-py boot (docs/reports.md).
    ``saved``: a file of ``save``, from which the Guest goes on (on kvm all of a process that go on from the same file
    share what they do not write); beside it only ``engine``, ``timeout``, ``report`` and
    ``core`` can be given.
    ``bus``: where it finds them: "auto" as its kind of kernel expects, or "page" or "pci".

    Raises LguestError with one line: ImageError for the image, the initrd or their size, UsageError for another
    argument, NoEngineError where no engine works, StoppedError when ``timeout`` passes before the image was read.
    """

    def __init__(
        self,
        image: str | os.PathLike[str] | None = None,
        *,
        initrd: str | os.PathLike[str] | None = None,
        memory: int | str | None = None,
        command_line: str | Sequence[str] = "",
        engine: Literal["auto", "kvm", "tcg"] | None = None,
        on_reboot: Literal["restart", "exit"] | None = None,
        timeout: float | None = None,
        switcher: Literal["classic", "lean"] | None = None,
        devices: Iterable[Hardware] = (),
        bus: Literal["auto", "page", "pci"] | None = None,
        root: str | os.PathLike[str] | None = None,
        report: str | os.PathLike[str] | None = None,
        core: str | os.PathLike[str] | None = None,
        saved: str | os.PathLike[str] | None = None,
    ) -> None:
        given = MachineOptions(
            None if image is None else os.fspath(image),
            None if initrd is None else os.fspath(initrd),
            None if memory is None else _bytes(memory),
            command_line,
            engine,
            switcher,
            timeout,
            on_reboot,
            bus=bus,
            root=None if root is None else os.fspath(root),
            report=None if report is None else os.fspath(report),
            core=None if core is None else os.fspath(core),
            devices=complete(devices),
        )
        with descriptor_errors():
            machine = with_file(given)
            if machine.username or machine.chroot:
                raise UsageError(f"{given.image}: username and chroot are for lguest-py boot: leave them out here")
            if saved is None:
                self._settings, self._choice = prepare(**machine.for_prepare())
            else:
                self._settings, self._choice = _prepare_saved(os.fspath(saved), machine)
        self._options, self._file = machine, given.image
        self._requests = Requests()
        self.engine = self._choice.name
        self._console: Console | None = None
        self._thread: threading.Thread | None = None
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._closing = threading.Lock()
        self._closed = False

    def __enter__(self) -> Machine:
        if self._thread:
            raise UsageError("this Machine was booted already: make another one")
        with descriptor_errors(), ExitStack() as stack:
            self._stop = StopSignals("the program ended it")
            stack.callback(self._stop.close)
            self._keyboard = Keyboard()
            self._files = stack.enter_context(open_report_files(self._options, self._settings, self._file))
            stack.pop_all()
        self._console = Console(self._keyboard, self._stop.fileno())
        self._thread = threading.Thread(target=self._run, name="lguest-py Launcher", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self._error:
            raise self._error

    @property
    def console(self) -> Console:
        """The Guest's console, from the start of the ``with``; ``output`` stays readable after its end."""
        if not self._console:
            raise NotBootedError("this Machine has no console yet: boot it by 'with machine:', and use it in there")
        return self._console

    def _run(self) -> None:
        try:
            autopsy = self._files.autopsy if self._files.wanted else None
            tracing = Tracing({"engine": self.engine})
            with descriptor_errors(), self._files, self._made_of() as (settings, make):
                launcher = Launcher(
                    settings,
                    make,
                    self._keyboard,
                    self.console,
                    self._stop,
                    autopsy=autopsy,
                    control=self._requests,
                    tracing=tracing,
                )
                self._files.trace_to(tracing, self._options.trace_rate or 0)
                self._result = launcher.run()
                self._files.trace_ended()
                self._files.write(self._result)
            self._files.raise_errors()
        except BaseException as error:  # raised again in the thread that calls wait()
            self._error = error
        self._requests.end("the Guest has ended")
        self.console.guest_ended(self._why_ended)

    @contextmanager
    def _made_of(self) -> Iterator[tuple[Settings, Callable[[int], Engine]]]:
        settings, make = self._settings, self._choice.make
        if settings.saved and self.engine == "kvm":
            from lguest_py.launcher.restoring import copied_on_write

            with copied_on_write(settings.saved) as (saved, make):
                yield replace(settings, saved=saved), make
        else:
            yield settings, make

    def pause(self) -> None:
        """Let the Guest stand still between two world switches, until ``resume``; its clock goes on.

        Raises LguestError when it has ended, or waits for whoever reads its console; so do the next ones.
        """
        self._ask(lambda vm: vm.pause())

    def resume(self) -> None:
        """Let it go on."""
        self._ask(lambda vm: vm.resume())

    def save(self, path: str | os.PathLike[str], *, compress: bool = False) -> None:
        """Write all of it to a new file, from which ``Machine(saved=path)`` goes on, as often as wanted.

        The Guest stands still meanwhile.  Each of its disks must be readonly or have an overlay.
        """
        from lguest_py.launcher.saving import save_file

        self._ask(lambda vm: save_file(os.fspath(path), vm, self._settings, compress=compress))

    def _ask(self, work: Callable[[Vm], None]) -> None:
        if not self._thread:
            raise UsageError("this Machine was not booted: use it in a 'with'")
        self._requests.ask(work)

    @property
    def result(self) -> Result | None:
        """How it ended; None before."""
        return self._result

    def _why_ended(self) -> str:
        return headline(self._result_or_raise())

    def _result_or_raise(self) -> Result:
        if self._error:
            raise self._error
        assert self._result
        return self._result

    def wait(self, timeout: float | None = None) -> Result:
        """Wait for the Guest's end, by itself or by ``close``, and return how it ended.

        Raises TimeoutError after ``timeout`` seconds (the Guest runs on; None: no limit), UsageError before the boot,
        and LguestError when the Guest is not the cause of the end.
        """
        if not self._thread:
            raise UsageError("this Machine was not booted: use it in a 'with'")
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the Guest still runs after {timeout:g} seconds")
        return self._result_or_raise()

    def close(self) -> None:
        """End the Guest if it still runs, and release its thread, process and file descriptors."""
        with self._closing:
            if not self._thread or self._closed:
                return
            self._stop.stop()
            if self._thread.ident is not None:  # it was started
                self._thread.join()
            self._files.close()
            self._keyboard.close()
            self._stop.close()
            self._requests.close()
            if self._settings.saved:
                self._settings.saved.reader.close()
            self._closed = True


def _prepare_saved(path: str, machine: MachineOptions) -> tuple[Settings, Choice]:
    run = "engine", "timeout", "report", "core"
    if machine != MachineOptions(**{name: getattr(machine, name) for name in run}):
        raise UsageError(f"{printable(path)} says what the Guest is: beside saved, give only {', '.join(run)}")
    return prepare_saved(path, machine.engine or "auto", machine.timeout)


def _bytes(memory: int | str) -> int:
    import argparse

    if isinstance(memory, int):
        return memory
    try:
        return size(memory)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"memory: {error}") from None
