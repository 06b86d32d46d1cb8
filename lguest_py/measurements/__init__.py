# SPDX-License-Identifier: GPL-2.0-or-later
"""Measurements as data: rows with their statistics, written, compared, printed and plotted.

Read next: row.py, then record.py.  lguest_py/bench makes them."""
