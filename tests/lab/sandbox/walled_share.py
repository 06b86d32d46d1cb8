# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls the tests of tests/share behind the Launcher's walls: ``python tests/lab/sandbox/walled_share.py FOLDER``.

Only those that take nothing but the fixtures of tests/share/conftest.py.  The tests themselves look at the folder by
calls that a share does not need, so these are allowed too.  Prints JSON: what was called, and what failed of it how.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAB = Path(__file__).resolve().parents[1]
MODULES = "test_share_operations", "test_share_attributes", "test_share_directories", "test_share_descriptors"
OF_TESTS = """
mkdir rmdir unlink rename link symlink mknod truncate chmod chown lchown utime utimes futimesat umask
setxattr lsetxattr removexattr lremovexattr getxattr lgetxattr listxattr llistxattr
"""
FIXTURES = {"folder", "server", "client", "reader"}


def call(test: Callable[..., object], folder: Path) -> None:
    """Call it with its fixtures."""
    from p9_client import Client, sender, server_at

    names = set(inspect.signature(test).parameters)
    server, readonly = server_at(folder), server_at(folder, readonly=True)
    given: dict[str, Any] = {"folder": folder, "server": server}
    for name, served in (("client", server), ("reader", readonly)):
        if name in names:
            given[name] = Client(sender(served))
            given[name].attach()
    try:
        test(**{name: given[name] for name in names})
    finally:
        server.close()
        readonly.close()


def main() -> None:
    """See the module."""
    from lguest_py.sandbox.walls import Needs, Walls

    base = Path(sys.argv[1])
    sys.path[:0] = [str(LAB), str(LAB / "devices"), str(LAB.parent / "share")]
    tests = {}
    for module in map(importlib.import_module, MODULES):
        for name, test in inspect.getmembers(module, inspect.isfunction):
            plain = name.startswith("test_") and not hasattr(test, "pytestmark")
            if plain and set(inspect.signature(test).parameters) <= FIXTURES:
                tests[name] = test
    for name in tests:
        (base / name / "shared").mkdir(parents=True)
    walls = Walls(Needs(writes=(str(base),)))
    assert walls._filter
    walls._filter.add(OF_TESTS.split())
    walls.put_up()
    failed = {}
    for name, test in tests.items():
        try:
            call(test, base / name / "shared")
        except BaseException as error:
            failed[name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"missing": walls.missing, "called": list(tests), "failed": failed}))


if __name__ == "__main__":
    main()
