# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that a user names or that are kept for the user: read with a clear error, written whole, cached.

Read next: inputs.py."""
