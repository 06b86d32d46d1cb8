# SPDX-License-Identifier: GPL-2.0-or-later
"""The report as data: what --report FILE holds as JSON.  docs/reports.md documents each field.

Addresses are numbers, bytes are text in hexadecimal, and all text is printable.  A change of a field's meaning, or
the loss of a field, makes another VERSION.  Read next: report_places.py.
"""

from __future__ import annotations

from typing import Any

from lguest_py.launcher.report_places import printable_text
from lguest_py.launcher.result import Result
from lguest_py.postmortem.backtrace import Frame
from lguest_py.postmortem.postmortem import AddressWalk, Postmortem
from lguest_py.postmortem.walk import Walk
from lguest_py.shared_memory import _layouts as L
from lguest_py.shared_memory.mailbox import Snapshot, hypercall_name

FORMAT, VERSION = "lguest-py report", 1


def _frames(frames: tuple[Frame, ...]) -> list[dict[str, Any]]:
    return [{"address": each.address, "symbol": each.symbol or None, "found": each.found} for each in frames]


def _walk(walk: Walk | None, guest_base: int = 0) -> dict[str, Any] | None:
    if walk is None:
        return None
    there = walk.physical is not None
    data = {
        "levels": [{"table": level.table, "at": level.at, "entry": level.entry} for level in walk.levels],
        "physical": walk.physical,
        "why": walk.why or None,
        "page_bytes": walk.page if there else None,
        "writable": walk.writable if there else None,
        "user": walk.user if there else None,
        "executable": walk.executable if there else None,
    }
    if guest_base:
        inside = walk.physical is not None and walk.physical >= guest_base
        data["guest_physical"] = walk.physical - guest_base if inside and walk.physical is not None else None
    return data


def _walks(walks: tuple[AddressWalk, ...], guest_base: int) -> list[dict[str, Any]]:
    return [
        {
            "what": each.what,
            "address": each.guest.address,
            "guest": _walk(each.guest),
            "shadow": _walk(each.shadow, guest_base),
        }
        for each in walks
    ]


def _code(found: Postmortem) -> dict[str, Any] | None:
    code = found.code
    if code is None:
        return None
    instructions = [
        {"address": each.address, "bytes": each.data.hex(), "text": each.text} for each in code.instructions
    ]
    return {"address": code.address, "start": code.start, "bytes": code.data.hex(), "instructions": instructions}


def _hypercalls(shot: Snapshot) -> list[dict[str, Any]]:
    """Those that were done at the last switches, the oldest first."""
    return [
        {
            "eip": record.eip,
            "number": call.number,
            "name": hypercall_name(call.number),
            "arguments": list(call.arguments),
            "ring": ring,
        }
        for record in shot.last
        for call, ring in record.hypercalls()
    ]


def _guest(found: Postmortem) -> dict[str, Any]:
    none = found.directory == L.LINEAR_MAP
    return {
        "registers": {**found.registers, "cr2": found.cr2} if found.registers else None,
        "page_directory": None if none else found.directory,
        "code": _code(found),
        "backtrace": _frames(found.backtrace),
        "stack": found.stack.hex(),
    }


def _printable(value: Any) -> Any:
    """``value`` with printable text throughout."""
    if isinstance(value, str):
        return printable_text(value)
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    return [_printable(each) for each in value] if isinstance(value, list) else value


def report_data(result: Result, headline: str) -> dict[str, Any]:
    """See the module; ``headline`` is one line for people."""
    shot, found = result.snapshot, result.postmortem
    general = result.as_dict()
    death = general.pop("death") or {}
    data = {
        "format": FORMAT,
        "version": VERSION,
        "headline": headline,
        **general,
        "guest": _guest(found) if found else None,
        "host": {
            "registers": shot.host or None,
            "controls": shot.host_controls or None,
            "backtrace": _frames(found.host_backtrace) if found else [],
            "messages": result.debug_text,
        }
        if shot.end_kind
        else None,
        "shadow_directory": found.shadow_directory or None if found else None,
        "walks": _walks(found.walks, found.guest_base) if found else [],
        "exceptions": death.get("exceptions", []),
        "last_switches": result.last_switches(),
        "hypercalls": _hypercalls(shot),
        "console": result.console_tail.decode("utf-8", "replace"),
    }
    cleaned: dict[str, Any] = _printable(data)
    return cleaned
