# SPDX-License-Identifier: GPL-2.0-or-later
"""The Host's end of the Guest's console: the user's terminal, byte streams, or a Python program.

Read next: terminal.py."""
