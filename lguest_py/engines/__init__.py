# SPDX-License-Identifier: GPL-2.0-or-later
"""Which engine makes the machine: KVM where it can serve, else QEMU's emulation.

Read next: base.py for what an engine is, probe.py for how KVM is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lguest_py.engines.base import INSTALL_QEMU, Engine
from lguest_py.engines.probe import KvmProbe, probe_kvm
from lguest_py.errors import NoEngineError, UsageError

NAMES = ("auto", "kvm", "tcg")


@dataclass(frozen=True)
class Choice:
    """``make(memory_bytes)`` makes a machine; ``why`` is one line for the user."""

    make: Callable[[int], Engine]
    name: str
    why: str


def choose(name: str) -> Choice:
    """The engine for ``--engine NAME``.

    Raises NoEngineError when it, or with auto any, cannot serve here; UsageError for an unknown name.
    """
    if name not in NAMES:
        raise UsageError(f"there is no engine {name!r}: give one of {', '.join(NAMES)}")
    probe = probe_kvm() if name != "tcg" else None
    if probe and probe.usable:
        from lguest_py.engines.kvm import KvmEngine

        return Choice(KvmEngine, "kvm", probe.why)
    if probe and name == "kvm":
        from lguest_py.engines.advice import Place, kvm_fix

        mendable = probe.flavour in ("no device", "no permission")
        fix = f"{kvm_fix(probe, Place.here())}; or --engine tcg, which" if mendable else "--engine tcg"
        raise NoEngineError(f"no engine kvm: {probe.why}; {fix} runs without KVM")
    return _tcg(probe)


def _tcg(probe: KvmProbe | None) -> Choice:
    from lguest_py.engines import tcg

    found = tcg.find_qemu()
    if found is None and probe is None:
        raise NoEngineError(f"no engine tcg: {tcg.QEMU} is missing; {INSTALL_QEMU}")
    if found is None:
        raise NoEngineError(f"no engine can serve: {probe.why if probe else ''}; for the other, {INSTALL_QEMU}")
    why = f"QEMU {found[1]} emulates the CPU"
    return Choice(tcg.TcgEngine, "tcg", f"{why} ({probe.why})" if probe else why)
