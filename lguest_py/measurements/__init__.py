# SPDX-License-Identifier: GPL-2.0-or-later
"""Measurements as data: rows of samples and their statistics, stored, compared, printed and plotted.

lguest_py/bench measures them.  Read next: row.py, then record.py.
"""
