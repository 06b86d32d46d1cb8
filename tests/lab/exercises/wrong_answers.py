# SPDX-License-Identifier: GPL-2.0-or-later
"""Plausible wrong answers to the labs, and what a lab's test says of each (tests/sources/test_labs.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NULL, DEMAND = "labs/01-null-switch/guest.c", "labs/03-demand-paging/demand.c"
GUEST, HANDLER = "labs/04-interrupt/guest.c", "labs/04-interrupt/handler.S"
HYPERCALLS, COMMANDS = "host_kernel/lguest/hypercalls.c", "guest_kernel/main/commands.c"
DEVICE, DRIVER = "lguest_py/devices/upper.py", "guest_kernel/drivers/upper.c"
REMOVE, ATTACK = "labs/06-break-out/remove.patch", "labs/06-break-out/attack.S"
SEGMENTS, NUMBERS = "host_kernel/lguest/segments.c", "switcher/layouts/lguest_abi.h"
WROTE = "for a word of 4 bytes, and the Host kernel wrote there"
CHECKED = 'guest_physical(address, sizeof(*word), "the word for SWITCHES")'
ALIGNED = "if (address % sizeof(*word))"
TIMED = "\t\tnull_switch();\n\t\ttook = read_tsc() - start;\n"
SPLIT = 'b"".join(bytes(piece[:PIECE]) for piece in chain.readable)[:PIECE]'


@dataclass(frozen=True)
class Wrong:
    """Changes of the solution (file, pattern that stands there once, replacement), and what the test says then."""

    lab: str
    said: str
    changes: tuple[tuple[str, str, str], ...]

    def apply(self, tree: Path) -> None:
        """Make the changes."""
        for file, pattern, replacement in self.changes:
            text = (tree / file).read_text()
            assert text.count(pattern) == 1, (file, pattern)
            (tree / file).write_text(text.replace(pattern, replacement))


def wrong(lab: str, said: str, *changes: tuple[str, str, str]) -> Wrong:
    """A Wrong."""
    return Wrong(lab, said, changes)


# One of each lab, tried in every run, all together.
FIRST = (
    wrong(
        "01-null-switch", "the Switcher answered your hypercall",
        (NULL, "LHCALL_SEND_INTERRUPTS, 0", "LHCALL_FLUSH_ASYNC, 0"),
    ),
    wrong("02-hypercall", "is beyond the Guest's memory", (COMMANDS, "physical(&switches)", "(u32)&switches")),
    wrong("03-demand-paging", "what was in the frame before it became a page table", (DEMAND, "frame[word] = 0", ";")),
    wrong("04-interrupt", "changed eax", (HANDLER, "\tpushal\n", ""), (HANDLER, "\tpopal\n", "")),
    wrong("05-device", "the device raised ValueError", (DEVICE, "upper()[: len(room)]", "upper()")),
    wrong("06-break-out", "must change the Host kernel or the Switcher", (REMOVE, f"++ b/{SEGMENTS}", "++ b/setup.py")),
)  # fmt: skip
# Each is tried alone, nightly.
MORE = {
    "null-sum": wrong(
        "01-null-switch", "print the least, not the sum",
        (NULL, "if (took < least)\n\t\t\tleast = took", "least += took"),
    ),
    "null-measures-nothing": wrong(
        "01-null-switch", "between the two reads of the TSC",
        (NULL, TIMED, "\t\ttook = read_tsc() - start;\n\t\tnull_switch();\n"),
    ),
    "null-that-does-something": wrong(
        "01-null-switch", "gives the Host kernel work to do",
        (NULL, "LHCALL_SEND_INTERRUPTS, 0", "LHCALL_FLUSH_TLB, 0"),
    ),
    "hypercall-start-checked": wrong(
        "02-hypercall", f"the last two bytes of the Guest's memory, {WROTE}",
        (HYPERCALLS, CHECKED, CHECKED.replace("sizeof(*word)", "1")), (HYPERCALLS, ALIGNED, "if (0)"),
    ),
    "hypercall-unchecked": wrong(
        "02-hypercall", f"0xfffffffe, far beyond the Guest's memory, {WROTE}",
        (HYPERCALLS, CHECKED, "(u32 *)(machine.guest_base + address)"), (HYPERCALLS, ALIGNED, "if (0)"),
        (HYPERCALLS, "\tmark_dirty(address", "\t(void)(address"),
    ),
    "hypercall-counts-others": wrong(
        "02-hypercall", "and the number grew by 1",
        (HYPERCALLS, "*word = mailbox->switches", "*word = mailbox->by_vector[HYPERCALL_VECTOR]"),
    ),
    "hypercall-eight-bytes": wrong(
        "02-hypercall", '"nothing beside the word was written": no',
        (HYPERCALLS, f"u32 *word = {CHECKED}", f"u64 *word = {CHECKED}"), (HYPERCALLS, ALIGNED, "if (0)"),
    ),
    "hypercall-number": wrong(
        "02-hypercall", "the first number that lguest does not have is 20",
        (NUMBERS, "SWITCHES         20", "SWITCHES 3"),
    ),
    "demand-protection-fault": wrong(
        "03-demand-paging", "which bit of the error code says that?", (DEMAND, " || (error & FAULT_PRESENT)", ""),
        (DEMAND, "\tu32 slot =", "\t(void)error;\n\tu32 slot ="),
    ),
    "demand-anywhere": wrong(
        "03-demand-paging", "compare with HEAP_START and HEAP_END",
        (DEMAND, "address < HEAP_START || address >= HEAP_END || ", ""),
    ),
    "demand-in-vain": wrong(
        "03-demand-paging", "page_fault() returned true, but the page is not there",
        (DEMAND, "\ttable[address / PAGE_SIZE % ENTRIES_PER_TABLE] =", "\ttable[0] ="),
    ),
    "interrupt-not-enabled": wrong(
        "04-interrupt", "HALT enables interrupts, and so must",
        (HANDLER, "\tmovl $GUEST_IF, lguest_data + LGUEST_DATA_irq_enabled\n", ""),
    ),
    "interrupt-busy": wrong(
        "04-interrupt", "so it waited with the processor busy", (GUEST, "\thypercall(LHCALL_HALT, 0, 0, 0);\n", ""),
    ),
    "interrupt-some-registers": wrong(
        "04-interrupt", "changed ecx",
        (HANDLER, "\tpushal\n", "\tpushl %eax\n"), (HANDLER, "\tpopal\n", "\tpopl %eax\n"),
    ),
    "interrupt-stack": wrong(
        "04-interrupt", "return with the stack as it found it?", (HANDLER, "\tpopal\n", ""),
    ),
    "device-silent": wrong("05-device", "so the driver waits for ever", (DEVICE, "queue.notify()", "pass")),
    "device-no-check": wrong(
        "05-device", "the device raised IndexError",
        (DEVICE, "if not chain.readable or not chain.writable:", "if not chain.readable:"),
    ),
    "device-first-buffer": wrong(
        "05-device", "sent one text in two buffers", (DEVICE, SPLIT, "bytes(chain.readable[0])[:PIECE]"),
    ),
    "device-endless": wrong(
        "05-device", "or it keeps the Launcher busy", (DEVICE, SPLIT, 'b"".join(map(bytes, chain.readable))'),
    ),
    "device-guest-alone": wrong(
        "05-device", "the Guest does the work by itself",
        (DRIVER, "\tif (!upper || ", '\tif (!upper)\n\t\treturn *bytes = 5, (const u8 *)"HELLO";\n\tif ('),
    ),
    "break-out-accessed": wrong(
        "06-break-out", f"What else does set_descriptor() in {SEGMENTS} change",
        (REMOVE, "+\tif ((high & HIGH_P) && (high & HIGH_S)) {", "+\tif (high & HIGH_P) {"),
    ),
    "break-out-nothing": wrong(
        "06-break-out", "the Host kernel had nothing against this Guest",
        (ATTACK, "\tint $HYPERCALL_VECTOR\n\tlcall $GATE_SELECTOR, $0", ""),
    ),
    "break-out-silent": wrong(
        "06-break-out", "came out of the machine's debug port", (ATTACK, "\toutb %al, $DEBUG_PORT\n", ""),
    ),
}  # fmt: skip
