# SPDX-License-Identifier: GPL-2.0-or-later
"""lguest reborn: a small hypervisor that runs a 32-bit Linux in ring 1, on KVM or on an emulated CPU.

Read next: lguest_py/cli, which takes a Guest from ``lguest-py boot`` on.
"""

__version__ = "0.1.0"
