# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb's ``monitor`` command: what the Launcher knows of a Guest beside its memory and registers.

Linux's scripts for gdb ask for "info version" to learn whether a hypervisor is at the other end.
Read next: guest.py.
"""

from __future__ import annotations

from lguest_py import __version__
from lguest_py.gdb.target import NotPossibleError
from lguest_py.launcher.vm import Vm
from lguest_py.postmortem.kallsyms import kallsyms
from lguest_py.postmortem.symbols import SortedSymbols, described
from lguest_py.shared_memory.mailbox import vector_name

HELP = """\
pt ADDRESS           how the Guest's page tables translate an address
xp ADDRESS [COUNT]   bytes of the Guest's physical memory
exits [COUNT]        its last exits, the newest last
sym NAME|ADDRESS     in the kernel's own symbol table (kallsyms of Linux)
info version         of lguest-py
"""
ROW = 16
MOST = 1024
EXITS = 16


def _number(word: str) -> int:
    try:
        return int(word, 0) & 0xFFFFFFFF
    except ValueError:
        raise NotPossibleError(f"{word} is no number") from None


def _translated(vm: Vm, address: int) -> str:
    found = vm.tables().walk(address)
    lines = [f"{each.table:27} at {each.at:08x}: {each.entry:08x}" for each in found.levels]
    if found.physical is None:
        lines.append(f"{address:08x}: {found.why}")
    else:
        rights = "writable" if found.writable else "read-only"
        rights += ", for programs" if found.user else ", for the kernel"
        lines.append(f"{address:08x} is {found.physical:08x}, in a page of {found.page >> 10} KiB, {rights}")
    return "\n".join(lines) + "\n"


def _bytes(vm: Vm, address: int, count: int) -> str:
    memory = vm.tables().memory
    if address >= len(memory):
        raise NotPossibleError(f"{address:#x} is beyond the Guest's memory")
    data = bytes(memory[address : address + min(count, MOST)])
    rows = range(0, len(data), ROW)
    return "".join(f"{address + at:08x}: {data[at : at + ROW].hex(' ')}\n" for at in rows)


def _exits(vm: Vm, count: int) -> str:
    last = vm.look().last
    return "".join(
        f"{each.cs:02x}:{each.eip:08x} {vector_name(each.trapnum)}"
        + (f" at {each.cr2:08x}" if each.trapnum == 14 else "")
        + (f", error code {each.errcode:#x}" if each.errcode else "")
        + (f": {each.hypercall.text}" if each.hypercall else "")
        + "\n"
        for each in last[max(0, len(last) - count) :]
    )


class Monitor:
    """Of one machine."""

    def __init__(self, vm: Vm) -> None:
        self._vm = vm
        self._symbols: SortedSymbols | None = None

    def _found(self, word: str) -> str:
        if not self._symbols:
            self._symbols = kallsyms(self._vm.remains(self._vm.look()))
        if not self._symbols:
            raise NotPossibleError("there is no kallsyms in its memory: is this a Linux, and has it begun?")
        if word[:1].isdigit():
            return f"{described(self._symbols, _number(word)) or 'nothing is'} there\n"
        found = self._symbols.named(word)
        if not found:
            raise NotPossibleError(f"no symbol is called {word}")
        return "".join(f"{address:#x} {word}\n" for address in found)

    def obey(self, command: str) -> str:
        """What it prints.  Raises NotPossibleError."""
        match command.split():
            case ["sym", word]:
                return self._found(word)
        return _obey(command, self._vm)


def _obey(command: str, vm: Vm) -> str:
    match command.split():
        case [] | ["help"]:
            return HELP
        case ["info", "version"]:
            return f"lguest-py {__version__}\n"
        case ["pt", address]:
            return _translated(vm, _number(address))
        case ["xp", address, *more] if len(more) < 2:
            return _bytes(vm, _number(address), _number(more[0]) if more else ROW)
        case ["exits", *more] if len(more) < 2:
            return _exits(vm, _number(more[0]) if more else EXITS)
    raise NotPossibleError("monitor help shows what there is")
