# SPDX-License-Identifier: GPL-2.0-or-later
"""How pytest runs a lab's test: from any folder, and without the options of the project's own tests.

Read next: exercise.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
