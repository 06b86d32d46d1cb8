# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``lguest-py bench`` measures, and how: one file a kind of measurement.

Read next: native.py, what a Guest is compared with.
"""
