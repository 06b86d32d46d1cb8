# SPDX-License-Identifier: GPL-2.0-or-later
"""Collect what is told of an end and must be read before the machine's memory is gone.

Read next: walk.py, code.py, backtrace.py; lguest_py/launcher/report.py, which shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

from lguest_py.postmortem.backtrace import Frame, backtrace
from lguest_py.postmortem.code import Code, code_around
from lguest_py.postmortem.memory import Remains, read_virtual
from lguest_py.postmortem.symbols import Symbols
from lguest_py.postmortem.walk import Tables, Walk
from lguest_py.shared_memory._layouts import HYPERCALL_VECTOR

INT = 0xCD  # the opcode, before its vector
STACK_WORDS = 64


@dataclass(frozen=True)
class AddressWalk:
    """One address, through the Guest's tables and through the shadow ones (None: there are none yet)."""

    what: str  # "cr2", "eip" or "esp"
    guest: Walk
    shadow: Walk | None


@dataclass(frozen=True)
class Postmortem:
    """See the module.  Addresses in ``walks[].shadow`` are VM-physical; ``guest_base`` less is Guest-physical."""

    registers: dict[str, int]  # the Guest's at its last exit; empty: it never ran
    cr2: int
    directory: int  # Guest-physical, or LINEAR_MAP
    shadow_directory: int  # VM-physical, or 0
    pae: bool
    guest_base: int
    code: Code | None
    backtrace: tuple[Frame, ...]
    stack: bytes  # from esp on
    walks: tuple[AddressWalk, ...]
    host_backtrace: tuple[Frame, ...]


def _walks(remains: Remains, addresses: dict[str, int]) -> tuple[AddressWalk, ...]:
    shadows = remains.shadows
    return tuple(
        AddressWalk(what, remains.guest.walk(address), shadows.walk(address) if shadows else None)
        for what, address in addresses.items()
    )


def instruction(guest: Tables, registers: dict[str, int]) -> int:
    """Where the instruction of the last exit is: at eip, which is behind it after a hypercall."""
    eip = registers["eip"]
    if registers["trapnum"] == HYPERCALL_VECTOR and read_virtual(guest, eip - 2, 2) == bytes([INT, HYPERCALL_VECTOR]):
        return eip - 2
    return eip


def collect(
    remains: Remains,
    cr2: int,
    page_fault: bool,
    symbols: Symbols | None,
    host: dict[str, int] | None = None,
    host_symbols: Symbols | None = None,
) -> Postmortem:
    """``page_fault``: cr2 is an address that the Guest died of.  ``host``: the Host kernel's registers at the end."""
    registers, guest = remains.registers, remains.guest
    code: Code | None = None
    frames: tuple[Frame, ...] = ()
    stack, addresses = b"", dict[str, int]()
    if registers:
        at = instruction(guest, registers)
        found = symbols.at(at) if symbols else None
        code = code_around(guest, at, at - found[1] if found else None)
        frames = backtrace(guest, registers, symbols)
        stack = read_virtual(guest, registers["esp"], 4 * STACK_WORDS)
        addresses = {"cr2": cr2} if page_fault else {}
        addresses |= {"eip": registers["eip"], "esp": registers["esp"]}
    host_frames: tuple[Frame, ...] = ()
    if host and host["eip"]:
        flat = Tables(remains.memory, None, remains.pae)  # the Host kernel's map is the identity
        host_frames = backtrace(flat, host, host_symbols)
    return Postmortem(
        registers,
        cr2,
        remains.directory,
        remains.shadow,
        remains.pae,
        remains.guest_base,
        code,
        frames,
        stack,
        _walks(remains, addresses),
        host_frames,
    )
