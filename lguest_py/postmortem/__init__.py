# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine's memory says of its end: page tables, code, stacks, symbols, and an ELF core.

All that is read here was written by the Guest, so each reader is bounded, and each text that leaves is printable.
Read next: postmortem.py, which collects it.
"""
