# SPDX-License-Identifier: GPL-2.0-or-later
"""How a run ended, as data: for --json, for the report, and for a Python program.

Read next: lguest_py/launcher/report.py.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lguest_py.engines.base import MachineEnd
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Snapshot, hypercall_name, vector_name

if TYPE_CHECKING:
    from lguest_py import Report
    from lguest_py.postmortem.postmortem import Postmortem


class End(enum.Enum):
    """The ways in which a run ends.  The values are those of --json."""

    POWERED_OFF = "powered off"
    RESTARTED = "restarted"
    PANICKED = "panicked"
    KILLED = "killed"
    TRIPLE_FAULT = "triple fault"
    RESTART_LOOP = "restart loop"
    HALTED = "halted"
    INTERNAL_ERROR = "internal error"
    MACHINE_FAILED = "machine failed"
    TIME_LIMIT = "time limit"
    SIGNAL = "signal"
    LEFT = "left"
    OUTPUT_CLOSED = "output closed"
    OTHER_PROCESSOR = "other processor"  # restored on one on which it cannot go on
    OTHER_TABLES = "other page tables"  # the Launcher starts the machine again, so that no run ends with it


_STATUS = {
    End.POWERED_OFF: 0,
    End.RESTARTED: 0,
    End.PANICKED: 3,
    End.KILLED: 3,
    End.TRIPLE_FAULT: 3,
    End.RESTART_LOOP: 3,
    End.HALTED: 3,
    End.TIME_LIMIT: 4,
    End.OTHER_PROCESSOR: 2,
}
_KINDS = {
    L.END_POWER_OFF: End.POWERED_OFF,
    L.END_RESTART: End.RESTARTED,
    L.END_PANIC: End.PANICKED,
    L.END_KILLED: End.KILLED,
    L.END_INTERNAL: End.INTERNAL_ERROR,
    L.END_HALTED: End.HALTED,
    L.END_TRIPLE_FAULT: End.TRIPLE_FAULT,
    L.END_OTHER_TABLES: End.OTHER_TABLES,
    L.END_OTHER_PROCESSOR: End.OTHER_PROCESSOR,
}
SIGINT, SIGPIPE, SIGTERM = 2, 13, 15  # the same everywhere
PAGE_FAULT = 14
LARGEST_STATUS = 255
NO_STATUS_REPORTED = 3  # the exit status with --guest-status when the Guest reports none
_STATUS_LINE = re.compile(rb"^lguest-py: exit status (\d{1,3})[ \r]*$", re.MULTILINE)


def reported_status(output: bytes) -> int | None:
    """The exit status (0 to 255) that the end of a Guest's console output reports, or None.

    The last line ``lguest-py: exit status N`` counts; the kernel's messages on its power-off may follow it.
    """
    reported = [int(number) for number in _STATUS_LINE.findall(output)]
    return reported[-1] if reported and reported[-1] <= LARGEST_STATUS else None


def root_advice(reason: str, initrd: bool) -> str:
    """What to give to a Linux that panicked for this ``reason``, if it found no root file system; else "".

    ``initrd``: it had one.
    """
    if "VFS: Unable to mount root fs" not in reason:
        return ""
    if initrd:
        return (
            "the kernel found no /init in its initrd: give a cpio archive that has one, packed so that this kernel can"
            " unpack it (lguest-py mkinitrd makes one)"
        )
    return "no initrd was given, and there is no disk: give one with --initrd FILE (lguest-py mkinitrd makes one)"


@dataclass(frozen=True)
class Outcome:
    """Why one boot ended."""

    end: End
    reason: str = ""
    signal: int = 0

    @property
    def status(self) -> int:
        """The exit status of a process that ends with this."""
        if self.signal:
            return 128 + self.signal
        return _STATUS.get(self.end, 1)


@dataclass(frozen=True)
class Times:
    """Seconds since the work on the (last) boot began; None: not reached, or not known."""

    engine: float | None = None  # the engine had started
    host_kernel: float | None = None  # the Host kernel's first instruction
    guest: float | None = None  # the Guest's first instruction
    total: float | None = None  # of the whole run, with all restarts


@dataclass(frozen=True)
class Result:
    """A whole run.  Counts, times and ``snapshot`` are the last boot's; ``times.total`` and ``restarts`` the run's."""

    outcome: Outcome
    engine: str
    times: Times
    snapshot: Snapshot
    restarts: int = 0
    debug_text: str = ""
    guest_status: int | None = None  # what the Guest reported on its console (reported_status), or None
    obey_guest: bool = False  # guest_status is the exit status of a Guest that powered off or restarted
    advice: str = ""  # one line: how to avoid this end, where that is known
    pae: bool = False  # the Guest's page tables, and so the Host kernel's, had the form of PAE
    console_tail: bytes = b""  # the last that the Guest wrote to its console, as it wrote it
    postmortem: Postmortem | None = None  # None after an ordinary end of which no report was asked for

    @property
    def status(self) -> int:
        """The exit status."""
        if self.obey_guest and not self.outcome.status:
            return NO_STATUS_REPORTED if self.guest_status is None else self.guest_status
        return self.outcome.status

    def report(self) -> Report:
        """What is known of the end: as text, and as the data of --report FILE."""
        from lguest_py import Report

        return Report(self)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        shot = self.snapshot
        return {
            "end": self.outcome.end.value,
            "reason": self.outcome.reason,
            "status": self.status,
            "guest_status": self.guest_status,
            "engine": self.engine,
            "restarts": self.restarts,
            "page_tables": "PAE" if self.pae else "two-level",
            "times": {name: value if value is None else round(value, 6) for name, value in vars(self.times).items()},
            "rings": list(shot.rings),
            "switches": {
                "total": shot.switches,
                "by_cause": {vector_name(vector): count for vector, count in shot.by_vector.items()},
                "hypercalls": {hypercall_name(number): count for number, count in shot.by_hypercall.items()},
            },
            "interrupts_delivered": shot.interrupts_delivered,
            "page_faults": {"filled": shot.faults_filled, "reflected": shot.faults_reflected},
            "death": self._death() if self.outcome.status else None,
        }

    def last_switches(self) -> list[dict[str, Any]]:
        """The last world switches, the oldest first, as data."""
        shot = self.snapshot
        first = shot.last[0].tsc if shot.last else 0
        return [
            {
                "us": (record.tsc - first) * 1000 / shot.tsc_khz if shot.tsc_khz else None,
                "ring": record.cs & 3,
                "eip": record.eip,
                "cause": vector_name(record.trapnum),
                "error_code": record.errcode,
                "address": record.cr2 if record.trapnum == PAGE_FAULT else None,
                "hypercall": hypercall_name(record.eax) if record.trapnum == L.HYPERCALL_VECTOR else None,
            }
            for record in shot.last
        ]

    def _death(self) -> dict[str, Any]:
        """The contents of the report (lguest_py/launcher/report.py) that need no memory, as data."""
        shot = self.snapshot
        return {
            "registers": {**shot.guest, "cr2": shot.guest_cr2} if shot.end_kind else None,
            "exceptions": [
                {**vars(fault), "name": vector_name(fault.vector), "why": fault.why} for fault in shot.faults
            ],
            "last_switches": self.last_switches(),
            "debug_text": self.debug_text,
        }


def machine_outcome(end: MachineEnd, snapshot: Snapshot) -> Outcome:
    """The Outcome of a machine that ended by itself."""
    if not end.exited:
        return Outcome(End.MACHINE_FAILED, end.detail or "the machine ended without a reason")
    kind = _KINDS.get(snapshot.end_kind)
    if kind is None:
        return Outcome(End.INTERNAL_ERROR, f"the Host kernel ended without a reason (end kind {snapshot.end_kind})")
    return Outcome(kind, snapshot.reason)


def boot_times(made: float, running: float, ended: float, started: float, snapshot: Snapshot) -> Times:
    """Times from the Launcher's clock (seconds) and the machine's TSC.

    The two clocks meet at the machine's end only, which the Launcher sees at once; without it (``end_tsc`` 0) only
    the Launcher's own times are known.
    """
    shot = snapshot

    def at(tsc: int) -> float | None:
        if not (tsc and shot.end_tsc and shot.tsc_khz):
            return None
        return ended - made - (shot.end_tsc - tsc) / (shot.tsc_khz * 1000)

    return Times(running - made, at(shot.boot_tsc), at(shot.guest_tsc), ended - started)
