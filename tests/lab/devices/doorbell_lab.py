# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a notify and its interrupt take: python tests/lab/devices/doorbell_lab.py [tcg|kvm] [ROUNDS]

The Guest notifies, halts, and is woken by the answer's interrupt; the Launcher does nothing but answer.  Once the
Host kernel halts at once, and once it looks for the answer first (machine.poll_microseconds).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from hostile_code import le32, store
from interrupt_lab import Interruptible
from pci_lab import RESULTS, PciMachine, image_for

from lguest_py.images.image import Personality
from lguest_py.shared_memory import _layouts as L

START, LEAST, SUM, LEFT = (RESULTS + 0x100 + 4 * number for number in (0, 1, 2, 4))


def program(personality: Personality, rounds: int) -> Interruptible:
    """So many notifies; it keeps the least and the sum of their ticks."""
    made = Interruptible(personality)
    made.raw(store(LEAST, 0xFFFFFFFF), store(LEFT, rounds))
    first = len(made.code)
    made.raw(b"\x0f\x31\xa3" + le32(START))
    made.store(L.BAR_NOTIFY, 0, 2)
    made.wait()
    made.raw(b"\x0f\x31\x2b\x05" + le32(START))  # rdtsc; sub
    made.raw(b"\x3b\x05" + le32(LEAST) + b"\x73\x05\xa3" + le32(LEAST))  # cmp; jae; mov
    made.raw(b"\x01\x05" + le32(SUM) + b"\x83\x15" + le32(SUM + 4) + b"\x00")
    made.raw(b"\xff\x0d" + le32(LEFT))
    back = first - len(made.code) - 6
    made.raw(b"\x0f\x85" + le32(back))
    for place in (LEAST, SUM, SUM + 4):
        made.raw(b"\xa1" + le32(place))
        made.keep()
    return made


def measure(engine_name: str, personality: Personality, polls: int, rounds: int) -> tuple[float, float]:
    """The least and the mean time in microseconds."""

    def kicked(machine: PciMachine, record: int) -> None:
        machine.count("irq_raised")
        machine.wake()

    guest = program(personality, rounds)
    image = image_for(guest, more=guest.handler)
    done = PciMachine(engine_name, image, kicked=kicked, polls=polls).run(results=guest.kept)
    assert done.powered_off, done.reason
    least, low, high = done.results
    rate = done.snapshot.tsc_khz / 1000
    return least / rate, (low | high << 32) / rounds / rate


def main() -> None:
    """Print a table."""
    engine_name = sys.argv[1] if len(sys.argv) > 1 else "tcg"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    for personality in ("lguest", "native"):
        for polls in (0, 30, 100):
            least, mean = measure(engine_name, personality, polls, rounds)
            print(f"{engine_name} {personality:7} looks for {polls:3} us: least {least:6.1f} us, mean {mean:6.1f} us")


if __name__ == "__main__":
    main()
