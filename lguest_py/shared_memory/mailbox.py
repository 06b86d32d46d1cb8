# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher's side of struct mailbox (switcher/layouts/machine.h): all that it shares with the Host kernel.

Every word has one writer, so there is no lock.  No event is lost, because both sides store
their own word, then have a barrier, then read the other's.

Read next: lguest_py/launcher/vm.py, which handles the requests.
Next in the book: lguest_py/engines/__init__.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lguest_py.errors import LguestError
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.layout import View, words

_fence = threading.Lock()

# Intel SDM vol. 3, table 6-1.
_TRAPS = """\
divide error, debug, NMI, breakpoint, overflow, bound range, invalid opcode, device not available, double fault, \
coprocessor overrun, invalid TSS, segment not present, stack fault, general protection, page fault, reserved 15, \
x87 error, alignment check, machine check, SIMD error"""
_VECTORS = {
    **dict(enumerate(_TRAPS.split(", "))),
    L.HYPERCALL_VECTOR: "hypercall",
    0x80: "system call",
    L.VECTOR_TIMER: "timer",
    L.VECTOR_DOORBELL: "doorbell",
    L.VECTOR_SPURIOUS: "spurious interrupt",
    L.TRAP_NONE: "fault in the Switcher",
}
_FAILED = {
    L.FAILED_IDT_LIMIT: "its gate lies beyond the IDT",
    L.FAILED_IDT_PAGE: "its gate is not mapped",
    L.FAILED_NOT_PRESENT: "its gate is not present",
    L.FAILED_GATE_TYPE: "its gate is of an unknown type",
    L.FAILED_TSS: "the TSS, which names its stack, is not mapped",
    L.FAILED_STACK: "its stack cannot be written",
}
_HYPERCALLS = {value: name[7:] for name, value in vars(L).items() if name.startswith("LHCALL_")}


def vector_name(vector: int) -> str:
    """What exit vector ``vector`` stands for."""
    return _VECTORS.get(vector, f"vector {vector:#x}")


def hypercall_name(number: int) -> str:
    """The name of hypercall ``number`` (switcher/layouts/lguest_abi.h), without its prefix."""
    return _HYPERCALLS.get(number, f"hypercall {number}")


def barrier() -> None:
    """Let no load after this overtake a store before it.

    Taking a free lock is an atomic read-modify-write, a full barrier on x86; Python has no other.
    """
    with _fence:
        pass


@dataclass(frozen=True)
class Hypercall:
    """A hypercall with its arguments: ebx, ecx, edx, esi."""

    number: int
    arguments: tuple[int, int, int, int]

    @property
    def text(self) -> str:
        """For people."""
        return f"{hypercall_name(self.number)} ({', '.join(f'{each:#x}' for each in self.arguments)})"


@dataclass(frozen=True)
class Exit:
    """One exit from the Guest, from struct switch_record. ``cr2`` holds for a page fault only."""

    tsc: int
    trapnum: int
    errcode: int
    cs: int
    eip: int
    eax: int
    cr2: int
    ring: tuple[Hypercall, ...] = ()  # those of the asynchronous ring that were done at this exit, before its own
    arguments: tuple[int, int, int, int] = (0, 0, 0, 0)  # of a hypercall

    @property
    def hypercall(self) -> Hypercall | None:
        """What it asked for, if it was one."""
        return Hypercall(self.eax, self.arguments) if self.trapnum == L.HYPERCALL_VECTOR else None

    def hypercalls(self) -> Iterator[tuple[Hypercall, bool]]:
        """All that were done at this exit, in order, and whether each was in the ring."""
        yield from ((call, True) for call in self.ring)
        if self.hypercall:
            yield self.hypercall, False


@dataclass(frozen=True)
class Fault:
    """An exception that could not be delivered, from struct fault_record. ``cr2`` holds for a page fault only."""

    vector: int
    errcode: int
    cr2: int
    failed: int
    where: int
    raised: int

    @property
    def why(self) -> str:
        """Why it could not be delivered, in words."""
        text = _FAILED.get(self.failed, f"failed for reason {self.failed}")
        return f"{text} at {self.where:08x}" if self.where else text


@dataclass(frozen=True)
class Snapshot:
    """A copy of the mailbox at the end, which outlives the machine's memory.  Times are TSC ticks; 0: not reached."""

    end_kind: int = L.END_NONE
    reason: str = ""
    rings: tuple[int, ...] = ()
    tsc_khz: int = 0
    boot_tsc: int = 0
    guest_tsc: int = 0
    end_tsc: int = 0
    switches: int = 0
    by_vector: dict[int, int] = field(default_factory=dict)
    by_hypercall: dict[int, int] = field(default_factory=dict)
    interrupts_delivered: int = 0
    faults_filled: int = 0
    faults_reflected: int = 0
    last: tuple[Exit, ...] = ()  # oldest first
    guest: dict[str, int] = field(default_factory=dict)
    guest_cr2: int = 0
    guest_directory: int = 0
    shadow_directory: int = 0
    host_eip: int = 0
    host: dict[str, int] = field(default_factory=dict)  # registers of the Host kernel; all only at an exception
    host_controls: dict[str, int] = field(default_factory=dict)
    frame_at: int = 0  # VM-physical, as the next two: for a Guest that was stopped
    directory_at: int = 0
    state_at: int = 0
    faults: tuple[Fault, ...] = ()  # that could not be delivered, each raised by the one before


def _word(field: str) -> int:
    """A field's place among the mailbox's 32-bit words."""
    offset, _, kind = L.MAILBOX.fields[field]
    assert kind == "I"
    return offset // 4


class _Ring(NamedTuple):
    """A ring of the Host kernel's: the places of its two counters, and its size."""

    name: str
    head: int
    tail: int
    size: int


_NOTIFY = _Ring("notify", _word("notify_head"), _word("notify_tail"), L.NOTIFY_RECORDS)
_TEXT = _Ring("text", _word("text_head"), _word("text_tail"), L.TEXT_BYTES)
_DOORBELL, _POLLING, _NOTIFY_RECORDS = _word("doorbell"), _word("polling"), _word("notify")
_IDLES = _word("idles")
_ACCESS_HEAD, _ACCESS_TAIL = _word("register_head"), _word("register_tail")
_INPUT_HEAD, _INPUT_TAIL = _word("input_head"), _word("input_tail")
_IRQ_RAISED, _CONFIG_RAISED, _MSIX_VECTORS = _word("irq_raised"), _word("config_raised"), _word("vectors")
_IRQ_SEEN = _word("irq_seen")
_PAUSE, _PAUSED = _word("pause"), _word("paused")
assert _word("config_seen") - _IRQ_SEEN == _CONFIG_RAISED - _IRQ_RAISED == L.VIRTUAL_IRQS


class Access(NamedTuple):
    """An access to a register in BAR 0 of a PCI function; ``value`` is None for a read."""

    slot: int
    offset: int
    size: int
    value: int | None


def _printable(raw: bytes) -> str:
    """One line without control characters: a Guest chose some of these bytes, and a terminal will show them."""
    text = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _arguments(record: View) -> tuple[int, int, int, int]:
    return record["arg1"], record["arg2"], record["arg3"], record["arg4"]


class Mailbox:
    """struct mailbox in the machine's memory."""

    def __init__(self, memory: memoryview) -> None:
        self._view = View(memory, L.MAILBOX_ADDRESS, L.MAILBOX)
        self._words = words(memory[L.MAILBOX_ADDRESS : L.MAILBOX_ADDRESS + L.MAILBOX.size // 4 * 4], "I")
        self._raised, self._seen = (
            memory[L.MAILBOX_ADDRESS + 4 * start :][: 8 * L.VIRTUAL_IRQS].cast("Q")
            for start in (_IRQ_RAISED, _IRQ_SEEN)  # with those of the configuration, which follow
        )
        self._text = self._view.bytes("text")
        self._input = self._view.bytes("input")

    def clear_doorbell(self) -> None:
        """Clear it before reading the rings: a later write rings it again."""
        if self._words[_DOORBELL]:
            self._words[_DOORBELL] = 0
        barrier()

    def idles(self) -> int:
        """How often the Guest was found idle."""
        return self._words[_IDLES]

    def hold_doorbell(self) -> None:
        """Let it count as rung: the Launcher looks at the rings itself until it clears it."""
        self._words[_DOORBELL] = 1
        barrier()

    def _pending(self, ring: _Ring) -> int:
        """How many entries wait in a ring."""
        count = (self._words[ring.head] - self._words[ring.tail]) & 0xFFFFFFFF
        if count > ring.size:
            raise LguestError(f"the Host kernel's {ring.name} ring holds {count} entries of {ring.size}: this is a bug")
        return count

    def _consume(self, ring: _Ring, count: int) -> bool:
        """Move a ring's tail; True if the Host kernel may have found the ring full, and halts until it moves."""
        tail = self._words[ring.tail]
        self._words[ring.tail] = (tail + count) & 0xFFFFFFFF
        barrier()
        return (self._words[ring.head] - tail) & 0xFFFFFFFF >= ring.size

    def requests(self) -> bool:
        """Whether there is a notification or an access to a register."""
        there = self._words
        return there[_NOTIFY.head] != there[_NOTIFY.tail] or there[_ACCESS_HEAD] != there[_ACCESS_TAIL]

    def anything(self) -> bool:
        """Whether there is one, or text."""
        return self._words[_TEXT.head] != self._words[_TEXT.tail] or self.requests()

    def take_text(self, room: int) -> tuple[bytes, bool]:
        """At most ``room`` bytes of early console text, and whether the Host kernel may wait for the space."""
        count = min(self._pending(_TEXT), room)
        if not count:
            return b"", False
        start = self._words[_TEXT.tail] % L.TEXT_BYTES
        first = bytes(self._text[start : start + count])
        text = first + bytes(self._text[: count - len(first)])
        return text, self._consume(_TEXT, count)

    def text_pending(self) -> bool:
        """Whether there is early text."""
        return self._pending(_TEXT) > 0

    def next_notify(self) -> int | None:
        """The oldest NOTIFY that was not consumed (a Guest-physical address); it stays."""
        tail = self._words[_NOTIFY.tail]
        if self._words[_NOTIFY.head] == tail:
            return None
        self._pending(_NOTIFY)
        return self._words[_NOTIFY_RECORDS + tail % L.NOTIFY_RECORDS]

    def consume_notify(self) -> bool:
        """Done with the oldest NOTIFY; True if the Host kernel may wait for the space."""
        return self._consume(_NOTIFY, 1)

    def input_pending(self) -> int:
        """How many bytes of input the Guest's serial port has not taken yet."""
        return min((self._words[_INPUT_HEAD] - self._words[_INPUT_TAIL]) & 0xFFFFFFFF, L.INPUT_BYTES)

    def given_input(self) -> bytes:
        """What the serial port was given, or, if that was more than the ring holds, what it has not taken."""
        head = self._view["input_head"]
        count = head if head <= L.INPUT_BYTES else self.input_pending()
        return bytes(self._input[place % L.INPUT_BYTES] for place in range(head - count, head))

    def give_input(self, data: bytes | bytearray) -> int:
        """Put input into the serial port's ring, from the start of ``data``; how many bytes there was room for."""
        head = self._view["input_head"]
        count = min(len(data), L.INPUT_BYTES - self.input_pending())
        start = head % L.INPUT_BYTES
        first = data[: min(count, L.INPUT_BYTES - start)]
        self._input[start : start + len(first)] = first
        self._input[: count - len(first)] = data[len(first) : count]
        barrier()
        self._view["input_head"] = (head + count) & 0xFFFFFFFF
        barrier()
        return count

    def raise_irq(self, irq: int) -> None:
        """Count one more virtual interrupt ``irq``; the Host kernel looks when the machine is interrupted."""
        self._words[_IRQ_RAISED + irq] = (self._words[_IRQ_RAISED + irq] + 1) & 0xFFFFFFFF

    def raise_config(self, slot: int) -> None:
        """Count one more interrupt of a PCI slot for a change of its configuration."""
        self._words[_CONFIG_RAISED + slot] = (self._words[_CONFIG_RAISED + slot] + 1) & 0xFFFFFFFF

    def set_vectors(self, slot: int, vectors: int) -> None:
        """The MSI-X vectors of a PCI slot's queues, as bits, and from bit MSIX_CONFIG on of its configuration."""
        self._words[_MSIX_VECTORS + slot] = vectors

    def set_pause(self, wanted: bool) -> None:
        """Ask the Host kernel to stand still, or to go on; it looks when the machine is interrupted."""
        self._words[_PAUSE] = int(wanted)
        barrier()

    def paused(self) -> bool:
        """Whether it stands still."""
        return self._words[_PAUSED] == 1

    def paused_tsc(self) -> int:
        """When it began to."""
        return self._view["paused_tsc"]

    def frame_at(self) -> int:
        """VM-physical: where the Guest's registers are between two switches."""
        return self._view["frame_at"]

    def directory_at(self) -> int:
        """VM-physical: where the address of its page directory is."""
        return self._view["directory_at"]

    def irqs_seen(self) -> bool:
        """Whether the Host kernel has handled all that was raised."""
        return self._raised == self._seen

    def polled(self) -> bool:
        """Whether the Host kernel looks at what was written here, so that no interrupt is needed."""
        barrier()
        return self._words[_POLLING] == 1

    def next_access(self) -> Access | None:
        """The access to a register of BAR 0 that the Guest waits for, if any."""
        if self._words[_ACCESS_HEAD] == self._words[_ACCESS_TAIL]:
            return None
        barrier()
        view = self._view
        size = view["register_size"]
        if size not in (1, 2, 4):
            raise LguestError(f"the Host kernel asked for a register of {size} bytes: this is a bug")
        value = view["register_value"] if view["register_write"] else None
        return Access(view["register_slot"], view["register_offset"], size, value)

    def answer_access(self, value: int) -> None:
        """Let the Guest continue with ``value``."""
        self._view["register_answer"] = value
        barrier()
        self._words[_ACCESS_TAIL] = self._words[_ACCESS_HEAD]
        barrier()

    def _whole_records(self) -> range:
        """The numbers of the switch records that can be read, the oldest first.

        A machine that was stopped may have been writing one.  The Host kernel counts a switch when the Guest is entered
        (switches), and its record when it left (switch_head), with no order within that.  So if the heads agree, the
        newest may not be whole; if not, the one to be written next, which is the oldest.
        """
        v = self._view
        switches, head = v["switches"], v["switch_head"]  # the second is modulo 2^32
        entered = (switches - head) & 0xFFFFFFFF
        end = switches - entered
        start = max(0, end - L.SWITCH_RECORDS)
        if v["end_kind"]:  # it ended by itself, between two records
            return range(start, end)
        return range(max(0, end - L.SWITCH_RECORDS + 1), end) if entered else range(start, max(0, end - 1))

    def _ring_calls(self) -> dict[int, list[Hypercall]]:
        """The hypercalls of the asynchronous ring, by the number of their world switch (modulo 2^32), oldest first.

        The Host kernel goes around the ring, so the next record to be written is the oldest.  It says where it will
        start; behind that are those of the switch that it was in when the machine ended.  A machine that was stopped
        from outside may have been writing the oldest.
        """
        v = self._view
        records = [v.sub("ring", L.RING_RECORD, n) for n in range(L.HCALL_RING)]
        start, now, first = v["ring_cursor"] % L.HCALL_RING, v["switches"] & 0xFFFFFFFF, 0
        while first < L.HCALL_RING and records[(start + first) % L.HCALL_RING]["switches"] == now:
            first += 1
        calls: dict[int, list[Hypercall]] = {}
        for n in range(0 if v["end_kind"] else 1, L.HCALL_RING):
            record = records[(start + first + n) % L.HCALL_RING]
            if record["switches"]:  # 0: none yet
                call = Hypercall(record["nr"], _arguments(record))
                calls.setdefault(record["switches"], []).append(call)
        return calls

    def _last(self) -> tuple[Exit, ...]:
        """The last exits, the oldest first."""
        ring, exits = self._ring_calls(), []
        for number in self._whole_records():
            slot = number % L.SWITCH_RECORDS
            record = self._view.sub("last", L.SWITCH_RECORD, slot)
            arguments = _arguments(self._view.sub("arguments", L.CALL_ARGUMENTS, slot))
            calls = ring.get((number + 1) & 0xFFFFFFFF, []) if record["trapnum"] == L.HYPERCALL_VECTOR else []
            fields = {name: record[name] for name in L.SWITCH_RECORD.fields}
            exits.append(Exit(**fields, ring=tuple(calls), arguments=arguments))
        return tuple(exits)

    def snapshot(self) -> Snapshot:
        """A copy of the mailbox of a stopped machine."""
        v = self._view
        faults = [v.sub("faults", L.FAULT_RECORD, n) for n in range(min(v["fault_count"], L.FAULT_RECORDS))]
        guest, host = v.sub("guest", L.REGISTERS), v.sub("host", L.REGISTERS)
        by_vector = [v["by_vector", n] for n in range(256)]
        by_hypercall = [v["by_hypercall", n] for n in range(L.HYPERCALL_COUNT)]
        return Snapshot(
            end_kind=v["end_kind"],
            reason=_printable(bytes(v.bytes("end_reason"))),
            rings=tuple(n for n in range(4) if v["rings_seen"] >> n & 1),
            tsc_khz=v["tsc_khz"],
            boot_tsc=v["boot_tsc"],
            guest_tsc=v["guest_tsc"],
            end_tsc=v["end_tsc"],
            switches=v["switches"],
            by_vector={n: count for n, count in enumerate(by_vector) if count},
            by_hypercall={n: count for n, count in enumerate(by_hypercall) if count},
            interrupts_delivered=v["interrupts_delivered"],
            faults_filled=v["faults_filled"],
            faults_reflected=v["faults_reflected"],
            last=self._last(),
            guest={name: guest[name] for name in L.REGISTERS.fields},
            guest_cr2=v["guest_cr2"],
            guest_directory=v["guest_directory"],
            shadow_directory=v["shadow_directory"],
            host_eip=v["host_eip"],
            host={name: host[name] for name in L.REGISTERS.fields},
            host_controls={name: v[f"host_{name}"] for name in ("cr0", "cr2", "cr3", "cr4")},
            frame_at=v["frame_at"],
            directory_at=v["directory_at"],
            state_at=v["state_at"],
            faults=tuple(Fault(**{name: fault[name] for name in L.FAULT_RECORD.fields}) for fault in faults),
        )
