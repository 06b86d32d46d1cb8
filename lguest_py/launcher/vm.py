# SPDX-License-Identifier: GPL-2.0-or-later
"""One virtual machine with one Guest: made, loaded, run, served and closed.

Read next: lguest_py/engines/tcg.py, which runs it (or kvm.py beside it); lguest_py/devices/page_bus.py and pci_bus.py
for its devices.
Next in the book: switcher/layouts/machine.h.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

from lguest_py.devices.console import Console, Sink
from lguest_py.devices.device import Device, Progress, Say
from lguest_py.devices.errors import GuestError
from lguest_py.devices.input_pace import InputPace
from lguest_py.devices.page_bus import PageBus
from lguest_py.devices.panic import PanicWatch
from lguest_py.devices.pci_bus import PciBus
from lguest_py.devices.rounds import Rounds
from lguest_py.devices.serial import Serial
from lguest_py.engines.base import Engine, MachineEnd
from lguest_py.errors import LguestError
from lguest_py.files.poller import Poller
from lguest_py.images import Image
from lguest_py.images.command_line import split
from lguest_py.launcher.result import End, Outcome
from lguest_py.launcher.standing import PAUSE_LOOK, PAUSE_SECONDS, Standing
from lguest_py.launcher.tracing import Tracing
from lguest_py.launcher.vm_memory import Bus, Plan, Switcher, fill, polls
from lguest_py.postmortem.memory import Remains, struct_at, word_at
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.debugger import Debugger
from lguest_py.shared_memory.layout import View
from lguest_py.shared_memory.mailbox import Mailbox, Snapshot
from lguest_py.shared_memory.trace_blocks import DEVICES, NOTIFY, REGISTER, TEXT

SPINS_LOST = 63
SPIN_SERVES = 64  # requests after which the Launcher looks for signals and input again
SEEN_LOOKS = 60  # at interrupts that the Host kernel is about to handle: some 20 microseconds
ENGINE_FACTS = "doorbell_port", "doorbell_pin", "doorbell_ack_port", "debug_port", "exit_port"
LAST_ROUNDS = 64  # of service() for a stopped Guest, which may have queued any amount


def reads_hvc(command_line: str) -> bool:
    """Whether a native Guest's input is for its virtio console: Linux opens the console that is named last."""
    named = [word for word in split(command_line) if word.startswith("console=")]
    return bool(named) and named[-1].startswith("console=hvc")


class _WatchedSink:
    """A sink whose data is also shown to ``watch``."""

    def __init__(self, sink: Sink, watch: Callable[[bytes], None]) -> None:
        self._sink, self._watch = sink, watch

    @property
    def room(self) -> int:
        return self._sink.room

    def write(self, data: bytes | bytearray) -> None:
        self._sink.write(data)
        self._watch(bytes(data))


class Vm(Standing):
    """Made: a machine; ``start`` loads the Guest and runs it.  ``close`` it, whatever happened.

    ``made``, ``running`` and ``ended`` are when (time.monotonic, seconds) the work on it began, the engine had started,
    and the machine had ended (0: it did not).
    """

    def __init__(
        self,
        make: Callable[[int], Engine],
        plan: Plan,
        image: Image,
        command_line: str,
        initrd: str | None,
        inbox: bytearray,
        sink: Sink,
        console: Console,
        devices: Sequence[Device] = (),
        say: Say = lambda text: None,
        switcher: Switcher = "lean",
        pae: bool = False,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__()
        self.poller = Poller()
        self.tracing = tracing or Tracing()
        self._looked_at = False  # the Host kernel was looking when it was last to see something
        self._spins_lost = self._spins_skipped = 0
        self.made = self.running = time.monotonic()
        self.ended = 0.0
        self.engine = make(plan.total)
        try:
            self._guest = plan, image, command_line, initrd, switcher, pae
            self.devices = devices
            self._plan, self._native = plan, image.personality == "native"
            self._mailbox = Mailbox(self.engine.memory)
            self.tracing.begin(self.engine.memory, {"pae": pae, "switcher": switcher})
            self.debugger = Debugger(self.engine.memory)
            self._interrupt = False
            self._irqs: set[int] = set()  # that the devices raised, and the Host kernel was not told of
            self._configs: set[int] = set()
            self._raised = self._was_looked_at = False  # some were told; the Host kernel looked at the mailbox then
            self._panic = PanicWatch() if self._native else None
            self._sink = _WatchedSink(sink, self._panic.feed) if self._panic else sink
            self._console = console
            console.sink = self._sink
            console.pace = self._pace = InputPace(self._mailbox.idles)
            console.takes_input = not self._native or reads_hvc(command_line)
            self._serial = None if console.takes_input else Serial(inbox, self._mailbox, self._wake)
            self._inbox = inbox
            self._bus = self._make_bus(console, devices, say)
            self._rounds = Rounds(self._bus.slots, self.poller)
            self._console_slot = next(slot for slot in self._bus.slots if slot.device is console)
        except BaseException:
            self.close()
            raise

    def _make_bus(self, console: Console, devices: Sequence[Device], say: Say) -> PageBus | PciBus:
        plan = self._plan
        guest = self.engine.memory[plan.guest_base : plan.guest_base + plan.guest_bytes + plan.device_bytes]
        wrote = self.engine.memory[plan.device_writes.start : plan.device_writes.stop]
        if plan.bus == "pci":
            vectors = self._mailbox.set_vectors if self._native else None
            return PciBus(guest, (console, *devices), self._irqs.add, self._configs.add, say, vectors, wrote)
        bus = PageBus(guest, plan.guest_bytes, self._irqs.add, wrote)
        for device in sorted((console, *devices), key=lambda device: device.type == console.type):  # consoles come last
            bus.add(device)
        return bus

    def start(self, loaded: Callable[[], None] = lambda: None) -> None:
        """Load the Guest into the machine, call ``loaded``, and run it.  Raises ImageError for what does not fit."""
        fill(self.engine, *self._guest)
        if isinstance(self._bus, PciBus):
            self._bus.write_functions(self.engine.memory, self._plan.bar_base, self._native)
        loaded()
        self.engine.start(L.HOST_KERNEL_BASE, L.MACHINE_ADDRESS)
        self.running = time.monotonic()

    def _raise(self) -> None:
        """Tell of each interrupt once: of two in a row the Host kernel may have handled the first one alone."""
        if self._irqs or self._configs:
            self._was_looked_at |= self._mailbox.polled()
            while self._irqs:
                self._mailbox.raise_irq(self._irqs.pop())
            while self._configs:
                self._mailbox.raise_config(self._configs.pop())
            self._raised = True

    def _wake(self) -> None:
        """The Host kernel must see what was just written: by an interrupt, unless it is looking."""
        self._looked_at = self._mailbox.polled()
        if not self._looked_at:
            self._interrupt = True

    def _tell_of_irqs(self, mailbox: Mailbox) -> None:
        """A Host kernel that was looking when an interrupt was raised looks no more, and has handled it soon."""
        looks = SEEN_LOOKS if self._was_looked_at else 1
        self._was_looked_at = False
        for _ in range(looks):
            if mailbox.irqs_seen():
                self._looked_at = True
                return
        self._wake()

    @property
    def wants_input(self) -> bool:
        """Whether the Guest would take input now."""
        return (self._serial or self._console).wants_input

    @property
    def deadline(self) -> float:
        """When (time.monotonic) to ask ``panicked`` again, even if nothing happens."""
        panic = self._panic.deadline if self._panic else math.inf
        return min(panic, self._pace.deadline) if self._console.held else panic

    def poll(self) -> MachineEnd | None:
        """How the machine ended, if it did.  Call ``service`` after it, for the last output."""
        end = self.engine.poll()
        if end and not self.ended:
            self.ended = time.monotonic()
        return end

    def panicked(self) -> Outcome | None:
        """The panic that the Guest printed on its console, if any.  A restart or halt after it is a part of it."""
        panic = self._panic
        if panic and panic.reason is not None and (self.ended or panic.complete):
            return Outcome(End.PANICKED, panic.reason)
        return None

    def service(self, ready: Collection[int] = ()) -> Progress:
        """Handle the Host kernel's and the Guest's requests, as far as the sink has room.

        ``ready``: descriptors to which something happened.  Raises GuestError when the Guest broke a rule of its
        devices.
        """
        mailbox = self._mailbox
        if mailbox.anything():
            self._answer(mailbox)
        if self._serial:
            self._serial.service()
        elif self._inbox or self._console.resized:
            self._console_slot.due = True
        if ready:
            self._rounds.happened(ready)
        begun = time.monotonic_ns() if self.tracing.on else 0
        progress = self._rounds.service()
        if begun:
            self.tracing.event(DEVICES, begun)
            self.tracing.drain()
        if mailbox.anything():  # more of it, or text that found no room
            only_text = mailbox.next_notify() is None and not mailbox.next_access()
            progress = max(progress, Progress.BLOCKED if only_text and not self._sink.room else Progress.MORE)
        self._tell(mailbox)
        return progress

    def _tell(self, mailbox: Mailbox) -> None:
        """Tell the Host kernel of what was written, if it has to be told."""
        self._raise()
        if self._raised:
            self._raised = False
            self._tell_of_irqs(mailbox)
        if self._interrupt:
            self._interrupt = False
            self.engine.interrupt()
        elif not self._looked_at:
            self._looked_at = mailbox.polled()  # it waits for more than this

    @property
    def may_spin(self) -> bool:
        """Whether to look for the next request instead of sleeping at once.

        Only when the Host kernel does so too: else it sleeps, and what wakes it needs a processor.
        """
        if not self._looked_at:
            return False
        self._looked_at = False
        if self._spins_skipped:
            self._spins_skipped -= 1
            return False
        return True

    def spin(self, seconds: float, deadline: float) -> Progress | None:
        """Serve what the Host kernel writes, and look that long for more of it, up to ``deadline`` (time.monotonic).

        Returns None when the last look was in vain: then the next times are skipped, 1, 3, 7 … of them.  Else something
        else happened, or it is time to look for that; the value is that of the last ``service``.  The doorbell counts
        as rung meanwhile, so that the Host kernel need not ring it.
        """
        mailbox, poller, served = self._mailbox, self.poller, 0
        mailbox.hold_doorbell()
        until = min(time.monotonic() + seconds, deadline)
        while True:
            if mailbox.anything():
                self._looked_at = False
                progress = self.service()
                served += 1
                if progress is not Progress.IDLE or not self._looked_at or served == SPIN_SERVES:
                    break
                until = min(time.monotonic() + seconds, deadline)
            elif poller.anything():  # this lets other threads run, too
                progress = Progress.IDLE
                break
            elif time.monotonic() >= until:
                lost = 0 if served else self._spins_lost
                self._spins_lost = self._spins_skipped = min(2 * lost + 1, SPINS_LOST)
                return None
        self._spins_lost = 0
        return progress

    def stirs(self, progress: Progress, input_is_watched: bool) -> bool:
        """Called before the Launcher sleeps: from now on the Host kernel rings.  True if it wrote something before.

        ``progress`` is that of the last ``service``: when it is BLOCKED, text that waits for room does not count.
        ``input_is_watched``: the Guest wanted some when that was last asked.
        """
        self._rounds.settle()
        self._tell(self._mailbox)
        self._mailbox.clear_doorbell()
        if self.stopped:
            return True
        if self._serial and self._serial.has_room and (self._inbox or not input_is_watched):
            return True
        if self.tracing.on and self.tracing.urgent():
            return True
        return self._mailbox.requests() or (progress is Progress.IDLE and self._mailbox.text_pending())

    def _answer(self, mailbox: Mailbox) -> None:
        """Take what the Host kernel wrote: text, accesses to registers, notifications."""
        wake, tracing = False, self.tracing
        begun = time.monotonic_ns() if tracing.on else 0
        if mailbox.text_pending():
            text, wake = mailbox.take_text(self._sink.room)
            self._sink.write(text)
            if tracing.on:
                tracing.event(TEXT, begun, len(text))
        if access := mailbox.next_access():
            begun = time.monotonic_ns() if tracing.on else 0
            answer = self._bus.access(*access)
            self._raise()
            mailbox.answer_access(answer)
            self._wake()
            if tracing.on:
                tracing.event(REGISTER, begun, access.offset)
        for _ in range(L.NOTIFY_RECORDS):
            address = mailbox.next_notify()
            if address is None:
                break
            begun = time.monotonic_ns() if tracing.on else 0
            if self._bus.holds(address):  # the Guest waits until it is consumed
                self._bus.notify(address)
                self._raise()
                mailbox.consume_notify()
                self._wake()
            else:  # a ring that is kicked again while it is queued gets no second entry: consume first
                wake |= mailbox.consume_notify()
                self._bus.notify(address)
            if tracing.on:
                tracing.event(NOTIFY, begun, address)
        if wake:
            self._interrupt = True

    @property
    def bus(self) -> Bus:
        """Of its devices."""
        return self._plan.bus

    @property
    def pae(self) -> bool:
        """Whether its Host kernel is that for Guests with PAE."""
        return self._guest[5]

    @property
    def paused_tsc(self) -> int:
        """Its time-stamp counter when it began to stand still."""
        return self._mailbox.paused_tsc()

    def retrace(self) -> None:
        """Let the Host kernel do what the readers of the trace want now.  Raises as ``pause``."""
        was_paused = self.paused
        if not was_paused:
            self.pause()
        self.tracing.obey()
        if not was_paused:
            self.resume()

    def look(self) -> Snapshot:
        """A copy of the mailbox, whose counts may be of different moments unless it stands still."""
        return self._mailbox.snapshot()

    def save(self) -> dict[str, Any]:
        """The Launcher's own state of a machine that stands still, for ``restore``: all else is in its memory.

        Raises LguestError for a device that cannot be saved, GuestError when the Guest breaks a rule.
        """
        until = time.monotonic() + PAUSE_SECONDS
        while self.service() is Progress.MORE or any(slot.running and slot.device.busy() for slot in self._bus.slots):
            if time.monotonic() >= until:
                raise LguestError("a device does not finish what it does: try again")
            self.poller.wait(PAUSE_LOOK)
            for slot in self._bus.slots:
                slot.due = True
        return {"devices": self._bus.save(), "inbox": bytes(self._inbox).hex()}

    def restore(
        self,
        load: Callable[[memoryview], None],
        state: dict[str, Any],
        tsc: int,
        tsc_khz: int,
        loaded: Callable[[], None],
    ) -> None:
        """Instead of ``start``: go on with the memory that ``load`` fills and this state.

        ``tsc``: of its time-stamp counter; ``tsc_khz``: its rate here (0: the Host kernel measures it).
        """
        memory, facts = self.engine.memory, self.engine.facts
        load(memory)
        machine = View(memory, L.MACHINE_ADDRESS, L.MACHINE)
        for name in ENGINE_FACTS:
            machine[name] = getattr(facts, name)
        machine["restored"] = 1
        machine["tsc_khz"] = facts.tsc_khz or tsc_khz
        machine["poll_microseconds"] = polls()
        self._mailbox.set_pause(False)
        self.tracing.restored()
        self.debugger.forget()
        self._bus.restore(state["devices"])
        self._inbox += bytes.fromhex(state["inbox"])
        loaded()
        self.engine.start(L.HOST_KERNEL_BASE, L.MACHINE_ADDRESS, tsc)
        self.engine.interrupt()
        self.running = time.monotonic()

    def take_back(self) -> bytes:
        """The input that this Guest was given, for the machine that starts again in its place (after ``stop``)."""
        return self._mailbox.given_input() if self._serial else b""

    def stop(self) -> Snapshot:
        """Stop the machine, pass on the Guest's last output, and copy the mailbox.

        In this order, because a running machine would change what is read.
        """
        self.engine.stop()
        self.tracing.drain()
        if not self.ended:
            with suppress(GuestError):  # the run has ended anyway
                for _ in range(LAST_ROUNDS):
                    if self.service() is not Progress.MORE:
                        break
        return self._mailbox.snapshot()

    def remains(self, snapshot: Snapshot) -> Remains:
        """The memory of the stopped machine, for the report and the core.  It is gone with ``close``."""
        plan, memory, shot = self._plan, self.engine.memory, snapshot
        registers, directory, shadow = shot.guest, shot.guest_directory, shot.shadow_directory
        if not shot.end_kind:  # it was stopped: where the Host kernel keeps them
            registers = struct_at(memory, shot.frame_at, L.REGISTERS)
            directory = word_at(memory, shot.directory_at, L.LINEAR_MAP)
            shadow = struct_at(memory, shot.state_at, L.LGUEST_STATE).get("guest_cr3", 0)
        return Remains(
            memory,
            plan.guest_base,
            plan.guest_bytes,
            plan.device_bytes,
            self._guest[5],
            dict(registers) if shot.switches else {},
            directory,
            shadow,
            self.engine.touched(),
            large=self._native,  # its kernel sets CR4.PSE before it makes any
        )

    def close(self) -> None:
        """End the machine.  Views of its memory are dropped first, or it could not be unmapped."""
        self.tracing.end()
        if bus := self.__dict__.pop("_bus", None):
            bus.close()
        for name in ("_mailbox", "debugger", "_serial", "_rounds", "_console_slot", "_pace"):
            self.__dict__.pop(name, None)
        if console := self.__dict__.get("_console"):
            console.pace = None
        self.engine.close()
