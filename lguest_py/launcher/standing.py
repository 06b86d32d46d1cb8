# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that stands still between two world switches, because somebody asked for it or because of gdb.

Read next: vm.py, of which this is a part; lguest_py/gdb/guest.py; host_kernel/machine/saved.c.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from lguest_py.devices.device import Progress
from lguest_py.engines.base import Engine, MachineEnd
from lguest_py.errors import LguestError
from lguest_py.files.poller import READABLE, Poller
from lguest_py.launcher.vm_memory import Plan
from lguest_py.postmortem.memory import word_at
from lguest_py.postmortem.walk import Tables
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.debugger import Debugger
from lguest_py.shared_memory.layout import View
from lguest_py.shared_memory.mailbox import Mailbox

PAUSE_SECONDS, PAUSE_LOOK = 5.0, 0.05


class Standing:
    """That side of a machine (lguest_py.launcher.vm.Vm)."""

    engine: Engine
    debugger: Debugger
    _mailbox: Mailbox
    _plan: Plan
    _native: bool

    def __init__(self) -> None:
        self.paused = False  # it stands still
        self.held = ""  # by whom, so that nobody else lets it go on
        self.patched = ""  # by whom its memory is changed as long as it runs
        self._awaits_stand = False  # whoever asked for that was not told yet

    def service(self, ready: Collection[int] = ()) -> Progress:
        """See Vm."""
        raise NotImplementedError

    def poll(self) -> MachineEnd | None:
        """See Vm."""
        raise NotImplementedError

    @property
    def pae(self) -> bool:
        """See Vm."""
        raise NotImplementedError

    def pause(self) -> None:
        """Let it stand still between two world switches.  Raises LguestError where it does not.

        Its devices go on.  Raises GuestError when the Guest breaks a rule meanwhile.
        """
        self._stand(True)

    def resume(self) -> None:
        """Let it go on.  Raises as ``pause``."""
        if self.held:
            raise LguestError(f"{self.held} has it stopped: let it go on there")
        self._stand(False)

    @property
    def stopped(self) -> bool:
        """Whether it stopped, and the one who asked for that is to be told."""
        return (self._awaits_stand or self.debugger.pending()) and self._mailbox.paused()

    def ask(self, still: bool) -> None:
        """Let it stand still, or go on, without waiting for that; ``stopped`` tells when it stands still."""
        self._mailbox.set_pause(still)
        self._awaits_stand = still
        self.paused &= still
        self.engine.interrupt()

    def stands(self) -> None:
        """Whoever asked knows that it stands still."""
        self._mailbox.set_pause(True)
        self._awaits_stand, self.paused = False, True

    def hold(self) -> None:
        """It stands still before it starts, and so it will."""
        self._mailbox.set_pause(True)
        self._awaits_stand = True

    def poke(self, physical: int, data: bytes) -> None:
        """Write to the Guest's memory while it stands still, at a Guest-physical address, so that the engine sees it.

        Raises LguestError where it does not stand still.
        """
        number = self.debugger.write(physical, data)
        try:
            self._until(lambda: self.debugger.done(number))
        except LguestError:
            self.debugger.withdraw()  # it would be done when nobody expects it any more
            raise

    def _stand(self, still: bool) -> None:
        """Return when the Host kernel has obeyed: what it says of an earlier request may come late."""
        mailbox = self._mailbox
        mailbox.set_pause(still)
        try:
            self._until(lambda: mailbox.paused() == still or self.debugger.pending())
        except LguestError:
            mailbox.set_pause(False)
            raise
        self.paused = still

    def _until(self, done: Callable[[], bool]) -> None:
        """Serve it until the Host kernel has done something, at which it looks when it is interrupted."""
        mailbox, poller = self._mailbox, Poller()
        poller.set(self.engine.fileno(), READABLE)
        until = time.monotonic() + PAUSE_SECONDS
        while not done():
            self.engine.interrupt()
            self.service()
            if self.poll() or time.monotonic() >= until:
                raise LguestError("it does not obey: it has ended, or waits for whoever reads its console")
            mailbox.clear_doorbell()
            if not mailbox.anything() and not done():
                poller.wait(PAUSE_LOOK)

    def registers(self) -> View:
        """The Guest's, of a machine that stands still: what is written there it has when it goes on."""
        return View(self.engine.memory, self._mailbox.frame_at(), L.REGISTERS)

    def tables(self) -> Tables:
        """The Guest's page tables now.  Physical addresses are the Guest's, and its memory can be read."""
        plan, memory = self._plan, self.engine.memory
        directory = word_at(memory, self._mailbox.directory_at(), L.LINEAR_MAP)
        end = plan.guest_base + plan.guest_bytes + plan.device_bytes
        root = None if directory == L.LINEAR_MAP else directory
        return Tables(memory[plan.guest_base : end], root, self.pae, self._native)
