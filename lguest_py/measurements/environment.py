# SPDX-License-Identifier: GPL-2.0-or-later
"""The environment of a measurement: the processor, its virtualisation, the engine, the commit.

Read next: record.py, which stores it.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lguest_py import __version__
from lguest_py.errors import UsageError
from lguest_py.version import UNKNOWN, commit

VIRTUALISED = {"kvm_intel": "VT-x", "kvm_amd": "SVM"}
EMULATED_CPU = ("QEMU TCG", "QEMU Virtual CPU")  # model names of QEMU's processors
MAX_CPU_NAME = 80  # characters of a processor's name
ICOUNT_NEEDS_TCG = "--icount needs --engine tcg: only QEMU's emulation can count instructions"


@dataclass(frozen=True)
class Environment:
    """``flavour``: "VT-x" or "SVM", after "nested" in a VM or "emulated" on an emulated processor; "emulated" for TCG.
    ``qemu``: its version, or "".  ``kernel``: the release of the Linux that ran the benchmarks, or "".
    """

    version: str
    commit: str
    engine: str
    flavour: str
    cpu: str
    qemu: str
    kernel: str = ""


def cpu_model(cpuinfo: str = "/proc/cpuinfo") -> str:
    """The processor's model name; without /proc, Python's name for it."""
    try:
        text = Path(cpuinfo).read_text(errors="replace")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:(.*)$", text, re.M)
    name = " ".join((match[1] if match else platform.processor() or platform.machine()).split())
    return re.sub(r"[^ -~]", "?", name)[:MAX_CPU_NAME] or UNKNOWN


def flavour(engine: str, kvm: str, cpu: str) -> str:
    """Environment.flavour; ``kvm`` is the result of probe.kvm_flavour()."""
    if engine == "tcg":
        return "emulated"
    name = kvm.removeprefix("nested ")
    kind = VIRTUALISED.get(name, name)
    if any(word in cpu for word in EMULATED_CPU):
        return f"emulated {kind}"
    return f"nested {kind}" if kvm.startswith("nested ") else kind


def describe(engine: str, counted: bool, releases: Iterable[str]) -> Environment:
    """The environment of a measurement with ``--engine engine`` in kernels of these ``releases``.

    Raises NoEngineError when the engine cannot run here, UsageError when it cannot count instructions.
    """
    from lguest_py.engines import choose
    from lguest_py.engines.probe import kvm_flavour
    from lguest_py.engines.tcg import find_qemu

    if counted and engine == "kvm":
        raise UsageError(ICOUNT_NEEDS_TCG)
    name = choose("tcg" if counted else engine).name
    cpu, qemu = cpu_model(), find_qemu()
    version = qemu[1] if qemu else ""
    return Environment(__version__, commit(), name, flavour(name, kvm_flavour(), cpu), cpu, version,
                 ", ".join(dict.fromkeys(releases)))


def kernel_release(image: str) -> str:
    """The release in a bzImage's header ("3.18.24"), else the file's base name."""
    from lguest_py.files.inputs import open_regular, printable
    from lguest_py.images.bzimage import MAGIC, MAGIC_AT, read_header

    file, size = open_regular(image, "give a bzImage")
    with file:
        data = memoryview(file.read(size))
    if data[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC:
        version = read_header(data, printable(image)).version
        if version:
            return version.split()[0]
    return re.sub(r"[^ -~]", "?", Path(image).name)[:MAX_CPU_NAME]
