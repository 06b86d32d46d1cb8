# SPDX-License-Identifier: GPL-2.0-or-later
"""A Guest that was saved, as a file: format.py writes and reads it.

Read next: format.py; lguest_py/launcher/saving.py, what is put in.
"""
