# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m lguest_py``: the command line, as ``lguest-py`` runs it."""

from __future__ import annotations

import sys

from lguest_py.cli import main

if __name__ == "__main__":
    sys.exit(main())
