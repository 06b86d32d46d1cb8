# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the bytes of a Guest's disk are: a file, a block device, an image behind qemu-nbd, an overlay over one of them.

Read next: backend.py (what each of them can do), then opening.py, which chooses.
"""
