# SPDX-License-Identifier: GPL-2.0-or-later
"""One world switch, instruction by instruction: recorded in a machine, then shown as text, page or on a terminal.

Read next: record.py, what is recorded; recorder.py, how; lguest_py/cli/watch.py, the verb.
"""
