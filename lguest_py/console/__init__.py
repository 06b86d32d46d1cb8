# SPDX-License-Identifier: GPL-2.0-or-later
"""The outer ends of the Guest's console: the user's terminal, byte streams, and a Python program.

Read next: terminal.py."""
