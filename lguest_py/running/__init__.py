# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of the command line for Guests that run: each is a module, as those in lguest_py/cli are.

Read next: ps.py; named.py.
"""
