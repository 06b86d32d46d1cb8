# SPDX-License-Identifier: GPL-2.0-or-later
"""From a machine that was stopped to its Postmortem: which address it died of, and which symbols there are.

Read next: lguest_py/postmortem/postmortem.py; report.py, which shows it.
"""

from __future__ import annotations

from lguest_py.errors import LguestError
from lguest_py.files.inputs import open_regular
from lguest_py.images.image import Image
from lguest_py.images.symbols import read_symbols
from lguest_py.launcher import vm_memory
from lguest_py.launcher.result import PAGE_FAULT
from lguest_py.postmortem.kallsyms import kallsyms
from lguest_py.postmortem.memory import Remains
from lguest_py.postmortem.postmortem import Postmortem, collect
from lguest_py.postmortem.symbols import Symbols, elf_symbols
from lguest_py.shared_memory.mailbox import Snapshot

HOST_ELFS = "host_kernel.elf", "host_kernel_pae.elf"


def host_elf(pae: bool) -> str:
    """The Host kernel with its symbols."""
    return str(vm_memory.IMAGES / HOST_ELFS[pae])


def _host_symbols(pae: bool) -> Symbols | None:
    """None where the file is not there: a report without them is one, too."""
    path = host_elf(pae)
    try:
        file, _ = open_regular(path, "")
    except LguestError:
        return None
    with file:
        raw = read_symbols(file, path)
    return elf_symbols(*raw) if raw else None


def _fault_address(remains: Remains, snapshot: Snapshot) -> tuple[int, bool]:
    """CR2, and whether the Guest's last exit, or an exception that could not be delivered, was a page fault there."""
    for fault in reversed(snapshot.faults):
        if fault.vector == PAGE_FAULT:
            return fault.cr2, True
    if remains.registers.get("trapnum") != PAGE_FAULT:
        return snapshot.guest_cr2, False
    if not snapshot.end_kind and snapshot.last:
        return snapshot.last[-1].cr2, snapshot.last[-1].trapnum == PAGE_FAULT
    return snapshot.guest_cr2, bool(snapshot.end_kind)


def examine(remains: Remains, snapshot: Snapshot, image: Image) -> Postmortem:
    """Read what is told of the end."""
    cr2, page_fault = _fault_address(remains, snapshot)
    symbols: Symbols | None = elf_symbols(*image.symbols) if image.symbols else None
    if symbols is None and image.version is not None:
        symbols = kallsyms(remains)
    host = snapshot.host if snapshot.end_kind else None
    return collect(remains, cr2, page_fault, symbols, host, _host_symbols(remains.pae) if host else None)
