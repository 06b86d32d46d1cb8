# SPDX-License-Identifier: GPL-2.0-or-later
"""Files: inputs that a user names, outputs written whole, the cache, descriptor limits, and cancellation.

Read next: inputs.py."""
