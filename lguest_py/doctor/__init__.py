# SPDX-License-Identifier: GPL-2.0-or-later
"""``lguest-py doctor``: test what works on this machine, and write the file for a bug report.

Read next: diagnosis.py.
"""
