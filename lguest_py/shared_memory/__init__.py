# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that the Launcher shares with the Host kernel and the Guest: struct layouts, and the mailbox.

The layouts come from the C headers (tools/layouts.py).  Read next: layout.py, then mailbox.py."""
