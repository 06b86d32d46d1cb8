# SPDX-License-Identifier: GPL-2.0-or-later
"""struct lguest_data in each of its forms (machine.abi), for Guests that a test makes."""

from __future__ import annotations

import struct

from pci_lab import Done

from lguest_py.shared_memory import _layouts as L

LAYOUTS = {
    L.LGUEST_DATA_0: L.LGUEST_DATA_OLD,
    L.LGUEST_DATA_1: L.LGUEST_DATA,
    L.LGUEST_DATA_2: L.LGUEST_DATA_SECOND,
}


def data_of(abi: int, kernel_address: int = 0xC0000000, window: tuple[int, int] = (0, 0)) -> bytes:
    """struct lguest_data in this form; ``window``: from here to there no interrupts, if the form has an end."""
    layout = LAYOUTS[abi]
    data = bytearray(layout.size)
    status = L.LGUEST_DATA.fields["hcall_status"][0]
    data[status : status + L.HCALL_RING] = bytes([L.HCALL_FREE]) * L.HCALL_RING
    values = {"kernel_address": kernel_address, "syscall_vec": 0x80, "noirq_iret": window[0]}
    values |= {"noirq_start": window[0], "noirq_end": window[1]}
    for name in values.keys() & layout.fields.keys():
        struct.pack_into("<I", data, layout.fields[name][0], values[name])
    return bytes(data)


def int_at(done: Done, place: int) -> int:
    """A word of the Guest's memory."""
    return int.from_bytes(done.memory[place : place + 4], "little")
