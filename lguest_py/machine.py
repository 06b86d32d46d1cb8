# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest in a Python program: ``lguest_py.Machine``.

    import lguest_py

    with lguest_py.Machine("bzImage", initrd="initrd", memory="128M", command_line="console=hvc0") as machine:
        machine.console.expect("# ", timeout=120)
        machine.console.sendline("uname -m; poweroff -f")
        machine.console.expect("i686")
        result = machine.wait(timeout=60)
    assert result.status == 0

The Launcher runs in a thread here, as it does under the command line; leaving the ``with`` ends the Guest, if
it still runs, and leaves no process, thread or file descriptor behind.

Read next: lguest_py/launcher/launcher.py; console/expect.py for the console; launcher/result.py for what ``wait``
returns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Literal

from lguest_py.console.expect import Console, Keyboard, Wake
from lguest_py.console.terminal import QuitRequested
from lguest_py.errors import UsageError
from lguest_py.files.descriptors import descriptor_errors
from lguest_py.launcher.launcher import Launcher, prepare
from lguest_py.launcher.report import headline
from lguest_py.launcher.result import Result
from lguest_py.launcher.values import size


class _StopSignals(Wake):
    """The Signals of a Launcher that another thread ends."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        self.set()

    def take(self) -> int:
        if self._stopped:
            raise QuitRequested("the program ended it")
        return 0


class NotBootedError(UsageError, AttributeError):
    """What comes with the boot was used before it.  For ``hasattr`` it is not there."""


class Machine:
    """One Guest: made by its arguments, booted by ``with``, ended at the end of it or by itself.

    ``image``: a bzImage or ELF; None is the bundled tiny Guest.  ``memory``: bytes, or "64M".  ``engine``: "auto",
    "kvm" or "tcg"; the attribute of the same name says which it became.  ``on_reboot``: boot again, or take it for the
    end.  ``timeout``: seconds for the whole run, after which the Guest is ended.
    ``command_line``: the kernel's, as it reads it ('console=hvc0 run="uname -m"'), or a list of words, which arrive
    there as they are (["console=hvc0", "run=uname -m"]).
    ``switcher``: how worlds are switched, "lean" or the reference, "classic".

    Raises LguestError (ImageError, UsageError, NoEngineError: one line each) for what cannot be booted; StoppedError
    when the ``timeout`` is over before the image was read.
    """

    def __init__(
        self,
        image: str | os.PathLike[str] | None = None,
        *,
        initrd: str | os.PathLike[str] | None = None,
        memory: int | str = "64M",
        command_line: str | Sequence[str] = "",
        engine: Literal["auto", "kvm", "tcg"] = "auto",
        on_reboot: Literal["restart", "exit"] = "restart",
        timeout: float | None = None,
        switcher: Literal["classic", "lean"] = "lean",
    ) -> None:
        if on_reboot not in ("restart", "exit"):
            raise UsageError(f"on_reboot cannot be {on_reboot!r}: give 'restart' or 'exit'")
        with descriptor_errors():
            self._settings, self._choice = prepare(
                None if image is None else os.fspath(image),
                engine,
                memory=_bytes(memory),
                command_line=command_line,
                initrd=None if initrd is None else os.fspath(initrd),
                restart=on_reboot == "restart",
                timeout=timeout,
                switcher=switcher,
            )
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
            self._stop = _StopSignals()
            stack.callback(self._stop.close)
            self._keyboard = Keyboard()
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
        """From the start of the ``with`` on; its output stays readable behind it."""
        if not self._console:
            raise NotBootedError("this Machine has no console yet: boot it by 'with machine:', and use it in there")
        return self._console

    def _run(self) -> None:
        try:
            launcher = Launcher(self._settings, self._choice.make, self._keyboard, self.console, self._stop)
            with descriptor_errors():
                self._result = launcher.run()
        except BaseException as error:  # for the thread that waits
            self._error = error
        self.console.guest_ended(self._why_ended)

    def _why_ended(self) -> str:
        return headline(self._result_or_raise())

    def _result_or_raise(self) -> Result:
        if self._error:
            raise self._error
        assert self._result
        return self._result

    def wait(self, timeout: float | None = None) -> Result:
        """How the Guest ended, by itself or by ``close``; waits for it.

        Raises TimeoutError after ``timeout`` seconds (the Guest runs on), and LguestError for what is not its doing.
        """
        if not self._thread:
            raise UsageError("this Machine was not booted: use it in a 'with'")
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the Guest still runs after {timeout:g} seconds")
        return self._result_or_raise()

    def close(self) -> None:
        """End the Guest now, if it still runs, and give everything back."""
        with self._closing:
            if not self._thread or self._closed:
                return
            self._stop.stop()
            if self._thread.ident is not None:  # it was started
                self._thread.join()
            self._keyboard.close()
            self._stop.close()
            self._closed = True


def _bytes(memory: int | str) -> int:
    import argparse

    if isinstance(memory, int):
        return memory
    try:
        return size(memory)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"memory: {error}") from None
