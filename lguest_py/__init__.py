# SPDX-License-Identifier: GPL-2.0-or-later
"""lguest reborn: a small hypervisor that runs a 32-bit Linux in ring 1, on KVM or on an emulated CPU.

A Python program uses ``lguest_py.Machine`` (lguest_py/machine.py), the hardware that it takes (lguest_py/hardware), and
what it returns and raises.  They are imported at their first use, so that ``import lguest_py`` is quick.
Read next: lguest_py/machine.py for a program, lguest_py/cli for the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lguest_py.console.expect import ExpectError as ExpectError
    from lguest_py.errors import LguestError as LguestError
    from lguest_py.hardware import Console as Console
    from lguest_py.hardware import Disk as Disk
    from lguest_py.hardware import Entropy as Entropy
    from lguest_py.hardware import Network as Network
    from lguest_py.hardware import Publish as Publish
    from lguest_py.hardware import Share as Share
    from lguest_py.hardware import Vsock as Vsock
    from lguest_py.launcher.report import Report as Report
    from lguest_py.launcher.result import End as End
    from lguest_py.launcher.result import Result as Result
    from lguest_py.machine import Machine as Machine

__version__ = "0.1.0"

_MODULES = {
    "LguestError": "errors",
    "ExpectError": "console.expect",
    "Machine": "machine",
    "Report": "launcher.report",
    "End": "launcher.result",
    "Result": "launcher.result",
    **dict.fromkeys(("Console", "Disk", "Entropy", "Network", "Publish", "Share", "Vsock"), "hardware"),
}
__all__ = [
    *("Console", "Disk", "End", "Entropy", "ExpectError", "LguestError", "Machine"),
    *("Network", "Publish", "Report", "Result", "Share", "Vsock"),
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
