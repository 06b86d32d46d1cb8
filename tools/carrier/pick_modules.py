# SPDX-License-Identifier: GPL-2.0-or-later
"""pick_modules.py TREE OUTPUT NAME…: the kernel modules NAME and all that they need, from an unpacked kernel package.

They go unpacked into the directory OUTPUT, with a file ``order`` that names them in the order of loading.  Debian 13
packs them with xz and builds more of them into the kernel than Debian 12.
"""

from __future__ import annotations

import lzma
import re
import sys
from pathlib import Path

SUFFIX = re.compile(r"\.ko(\.xz)?$")


def plain(name: str) -> str:
    """The kernel takes a dash and an underscore for the same."""
    return SUFFIX.sub("", name).replace("-", "_")


def read(module: Path) -> bytes:
    """The ELF file."""
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def depends(elf: bytes) -> list[str]:
    """The modules that a module names as needed, in its section .modinfo."""
    found = re.search(rb"(?:^|\0)depends=([\w,-]*)\0", elf)
    return found[1].decode().split(",") if found and found[1] else []


def pick(tree: Path, names: list[str]) -> dict[str, bytes]:
    """The modules by name, each behind those it needs."""
    modules = {plain(path.name): path for path in tree.rglob("*.ko*") if SUFFIX.search(path.name)}
    lists = [path.read_text().split() for path in tree.rglob("modules.builtin")]
    built_in = {plain(Path(line).name) for lines in lists for line in lines}
    order: dict[str, bytes] = {}

    def take(name: str) -> None:
        if name in order or name in built_in:
            return
        if name not in modules:
            raise SystemExit(f"run-in-kvm: the downloaded kernel has no module {name}")
        elf = read(modules[name])
        for other in depends(elf):
            take(plain(other))
        order[name] = elf

    for name in names:
        take(plain(name))
    return order


def main() -> None:
    """The program."""
    tree, output = map(Path, sys.argv[1:3])
    order = pick(tree, sys.argv[3:])
    for name, elf in order.items():
        (output / f"{name}.ko").write_bytes(elf)
    (output / "order").write_text("".join(f"{name}\n" for name in order))


if __name__ == "__main__":
    main()
