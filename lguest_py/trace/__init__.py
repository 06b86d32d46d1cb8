# SPDX-License-Identifier: GPL-2.0-or-later
"""What lguest-py trace makes of a trace: text, a table by cause, a timeline, pictures.

Read first: stream.py.  The other end is lguest_py/launcher/tracing.py.
"""
