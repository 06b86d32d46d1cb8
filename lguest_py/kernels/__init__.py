# SPDX-License-Identifier: GPL-2.0-or-later
"""Distribution kernels: download them, keep them by name, and make an initrd for them.

Read next: fetch.py."""
