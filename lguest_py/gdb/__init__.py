# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb's remote protocol: gdb attaches to a Guest, and to the Host kernel below it.

packets.py is the framing, stub.py the commands, and a target is what they are about: guest.py, host.py.
Source: the GDB manual, appendix E.  Read next: packets.py.
"""
