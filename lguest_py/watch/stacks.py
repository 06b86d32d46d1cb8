# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of the stacks: which words, what each is, and who put it there.

What the CPU pushes at a trap is known by the architecture (Intel SDM vol. 3, 6.12.1); what an instruction pushes, by
its text.  The Host kernel writes the frame for the Guest without a push, in the order of struct registers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from lguest_py.postmortem.memory import read_virtual
from lguest_py.postmortem.walk import PAGE, Tables
from lguest_py.shared_memory import _layouts as L
from lguest_py.watch.record import Stack, Word

END: Final = L.SWITCHER_STACK_PAGE + PAGE
FRAME: Final = END - L.REGISTERS.size
CPU, SWITCHER, HOST = "CPU", "Switcher", "Host kernel"
BY_CPU: Final = ("errcode", "eip", "cs", "eflags", "esp", "ss")
PUSHAL: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
PAGE_NAME: Final = "the Switcher's stack page, which both worlds map"
RETURN: Final = "return: run.c"
HOST_STACK: Final = "STATE(host_esp), %esp"
CALLEE_SAVED: Final = ("edi", "esi", "ebx", "ebp")  # as both Switchers push them
SHOWN: Final = 7  # words of another stack
PUSH = re.compile(r"push[lf]*\s*(\S.*)?")
REFLECTED = re.compile(r"movl %eax, %ss:-(\d+)\(%edx\)")  # the frame on the Guest kernel's stack (reflect.h)
VECTOR_PUSH = re.compile(r"vector|VECTOR")


def label_of(operand: str) -> str:
    """What ``pushl operand`` puts on the stack."""
    if VECTOR_PUSH.search(operand):
        return "trapnum"
    if operand == "$0":
        return "errcode"
    if operand.startswith("%"):
        return operand[1:] if re.fullmatch(r"%[a-z]{2,3}", operand) else operand.rpartition("_")[2].lower()
    return operand


class Labels:
    """What is known of words in memory, by their addresses."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, str]] = {}
        self._last = ""  # the instruction before
        self._written: set[int] = set()  # in the present step
        self.host_frame()

    def begin(self) -> None:
        """Another step begins."""
        self._written.clear()

    def _put(self, address: int, label: str, by: str) -> None:
        self._known[address] = label, by
        self._written.add(address)

    def host_frame(self) -> None:
        """The frame is as the Host kernel has it ready for the Guest."""
        for name, (offset, _, _) in L.REGISTERS.fields.items():
            self._known[FRAME + offset] = name, HOST

    def trap(self, esp: int, error: bool, stack: bool) -> None:
        """The CPU pushed a frame, of which esp is the lowest word."""
        names = BY_CPU if stack else BY_CPU[:-2]
        for index, name in enumerate(names if error else names[1:]):
            self._put(esp + 4 * index, name, CPU)

    def called(self, esp: int) -> None:
        """The Host kernel called the Switcher."""
        self._put(esp, RETURN, HOST)

    def stored(self, address: int) -> None:
        """The Switcher changed a word in place."""
        label, _ = self._known.get(address, ("", ""))
        self._put(address, label, SWITCHER)

    def executed(self, code: str, old: Mapping[str, int], new: Mapping[str, int]) -> None:
        """An instruction of the Switcher, with the registers before and after it."""
        if found := REFLECTED.fullmatch(code):
            below = int(found[1])
            self._put(old["edx"] - below, BY_CPU[-below // 4], SWITCHER)
        before, after, last, self._last = old["esp"], new["esp"], self._last, code
        if code.endswith(HOST_STACK):
            for index, name in enumerate(CALLEE_SAVED):
                self._known[after + 4 * index] = name, SWITCHER
            self._known[after + 4 * len(CALLEE_SAVED)] = RETURN, HOST
            return
        words = (before - after) // 4
        if words == len(PUSHAL) and code == "pushal":
            for index, name in enumerate(PUSHAL, 1):
                self._put(before - 4 * index, name, SWITCHER)
        elif words == 1:
            found = PUSH.fullmatch(code)
            if code == "pushl %eax" and last == "movl %cr2, %eax":
                label = "cr2"
            elif code.startswith("call"):
                label = "return address"
            elif found and found[1] == "(%esp)":
                label = "trapnum"
            else:
                label = label_of(found[1] or "eflags") if found else ""
            self._put(after, label, SWITCHER)

    def word(self, address: int, value: int, before: Mapping[int, int]) -> Word:
        """With what is known of it; ``before``: the words that were there."""
        new = address in self._written or (address in before and before[address] != value)
        return Word(address, value, *self._known.get(address, ("", "")), new)


def words_of(tables: Tables, top: int, low: int) -> Mapping[int, int]:
    """The words from ``low`` up to ``top``, by address: those that are mapped."""
    data = read_virtual(tables, low, top - low)
    return {low + at: int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) - 3, 4)}


def picture(
    tables: Tables, labels: Labels, state: Mapping[str, int], before: Mapping[int, int]
) -> tuple[Stack, Stack]:
    """The stack where esp is, and the Switcher's page.  ``before``: the words that were there before the step."""
    esp, ring = state["esp"], state["cs"] & 3
    here = END - PAGE < esp <= END and not ring
    low = min(esp & ~3, FRAME) if here else FRAME
    found = words_of(tables, END, low)
    page = Stack(PAGE_NAME, tuple(labels.word(at, found[at], before) for at in sorted(found, reverse=True)))
    if here:
        return page, page
    names = {0: "the Host kernel's stack", 1: "the Guest kernel's stack"}
    near = words_of(tables, min(esp + 4 * SHOWN, (1 << 32) - 4), esp)
    return Stack(
        names.get(ring, "the program's stack"),
        tuple(labels.word(at, near[at], before) for at in sorted(near, reverse=True)),
    ), page
