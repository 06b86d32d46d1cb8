# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose the engine that runs the VM: KVM if the probe passes, else QEMU's emulation (TCG).

Read next: base.py for the interface of an engine, probe.py for the probe of KVM.
Next in the book: base.py.
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
    """``make(memory_bytes)`` makes the VM; ``why`` is the reason for the choice, one line for the user."""

    make: Callable[[int], Engine]
    name: str
    why: str


def choose(name: str) -> Choice:
    """The engine for ``--engine NAME``.

    Raises NoEngineError when it cannot run here (with "auto": when no engine can); UsageError for an unknown name.
    """
    if name not in NAMES:
        raise UsageError(f"there is no engine {name!r}: give one of {', '.join(NAMES)}")
    probe = probe_kvm() if name != "tcg" else None
    if probe and probe.usable:
        from lguest_py.engines.kvm import KvmEngine

        return Choice(KvmEngine, "kvm", probe.why)
    if probe and name == "kvm":
        from lguest_py.engines.advice import Platform, kvm_advice

        fixable = probe.flavour in ("no device", "no permission")
        fix = f"{kvm_advice(probe, Platform.detect())}; or --engine tcg, which" if fixable else "--engine tcg"
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
