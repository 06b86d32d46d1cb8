# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine can do, found by trying it, and the file for a bug report.

Read next: diagnosis.py."""
