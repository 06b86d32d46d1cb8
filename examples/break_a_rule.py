# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that breaks a rule is killed, with a reason.  Break one, and read the report.

Run it: python examples/break_a_rule.py [NAME]

NAME is one of the violations that the tiny Guest's command "fault" lists; without one it is a descriptor that
would be a door to ring 0.  Below the reason: the registers the Guest died with, and the last exits.
Read next: guest_kernel/faults/violations.c, host_kernel/base/end.c, lguest_py/launcher/report.py.
"""

import sys

from lguest_py import End, Machine
from lguest_py.launcher import report

offence = sys.argv[1] if len(sys.argv) > 1 else "call-gate"
with Machine(command_line=f"run=fault {offence}") as guest:
    result = guest.wait(timeout=60)
print(report.headline(result))
print(report.death(result), end="")
sys.exit(result.outcome.end is not End.KILLED)
