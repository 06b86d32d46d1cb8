# SPDX-License-Identifier: GPL-2.0-or-later
"""The Launcher: fills the machine's memory, runs it, serves the Guest's devices, and reports how it ended.

Read next: launcher.py, then vm.py."""
