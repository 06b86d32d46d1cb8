# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep how many instructions each operation takes, in results/instructions.json: ``python tools/keep_instructions.py``.

tests/bench/test_bench_instructions.py measures anew and fails where one rose.  Run this when a rise is meant, or to
keep a fall; with LGUEST_LINUX=DIR the rows in that Linux are kept too, else those that were kept stay.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lguest_py.bench.catalogue import SWITCHERS, Suite, catalogue, kernel
from lguest_py.measurements.row import INSTRUCTIONS, Row
from lguest_py.measurements.stats import merged

KEPT = Path(__file__).resolve().parent.parent / "results" / "instructions.json"
RISE = 0.05
Key = tuple[str, str, str]  # name, where, switcher


def measure(kind: str) -> list[Row]:
    """All rows of "micro" or "linux" on both Switchers, in instructions.  Raises LguestError."""
    linux = kernel(kind, None, None) if kind == "linux" else None
    names = tuple(catalogue()[kind])
    rows: list[Row] = []
    for switcher in SWITCHERS["both"]:
        rows += Suite(kind, switcher, names, 1, "tcg", True, linux).measure()
    return [row for row in merged(rows) if row.unit == INSTRUCTIONS]


def minima(rows: Iterable[Row]) -> dict[Key, int]:
    """The least of each."""
    return {(row.name, row.where, row.switcher): min(row.samples) for row in rows}


def read(file: Path = KEPT) -> dict[str, dict[Key, int]]:
    """Kind -> what is kept of it."""
    if not file.exists():
        return {}
    data = json.loads(file.read_text())
    return {kind: {(row[0], row[1], row[2]): row[3] for row in rows} for kind, rows in data.items()}


def text(kept: Mapping[str, Mapping[Key, int]]) -> str:
    """The file's content: a row a line, in order."""
    kinds = []
    for kind in sorted(kept):
        rows = ",\n".join(f"    {json.dumps([*key, kept[kind][key]])}" for key in sorted(kept[kind]))
        kinds.append(f"  {json.dumps(kind)}: [\n{rows}\n  ]")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def rises(kept: Mapping[Key, int], now: Mapping[Key, int]) -> list[str]:
    """A line for each row that rose by more than RISE, with both numbers, or is not measured any more."""
    lines = []
    for key, before in sorted(kept.items()):
        name = " ".join(filter(None, key))
        after = now.get(key)
        if after is None:
            lines.append(f"{name}: {before} instructions were kept, and it is not measured any more")
        elif after > before * (1 + RISE):
            more = 100 * (after - before) / max(before, 1)
            lines.append(f"{name}: {after} instructions, {before} were kept (+{more:.1f} %)")
    return lines


def main() -> int:
    """Measure and write."""
    kept = read()
    for kind in ("micro", "linux") if os.environ.get("LGUEST_LINUX") else ("micro",):
        kept[kind] = minima(measure(kind))
    KEPT.write_text(text(kept))
    print(f"{KEPT}: {', '.join(f'{len(rows)} rows of {kind}' for kind, rows in kept.items())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
