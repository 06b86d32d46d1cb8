# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmarks of ``lguest-py bench``: one file for each kind.

Read next: catalogue.py for their names, then micro.py, linux.py and boot.py; native.py for the native runs.
"""
