# SPDX-License-Identifier: GPL-2.0-or-later
"""Diagnosis: what works on this machine, by running the tiny Guest on each engine.

Read next: lguest_py/engines/advice.py for the advice, lguest_py/doctor/bundle.py for the bug report.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lguest_py import Machine, Result, __version__
from lguest_py.console.progress import Progress
from lguest_py.engines.advice import IMAGES_ADVICE, NO_ENGINE_ADVICE, QEMU_ADVICE, Platform, kvm_advice
from lguest_py.engines.probe import KvmProbe, probe_kvm
from lguest_py.engines.tcg import QEMU, find_qemu
from lguest_py.errors import LguestError
from lguest_py.launcher.vm_memory import built
from lguest_py.version import commit

IMAGES = ("host_kernel.bin", "host_kernel_pae.bin", "reset.bin", "guest.elf", "guest.bzImage", "selftest.bin")
LIBRARIES = ("cffi", "pyelftools", "zstandard", "lz4")
BOOT_SECONDS, SELF_TEST_SECONDS = 120.0, 1800.0  # limits for one Guest, for nested emulation as well

POLL_SECONDS = 0.2

EngineName = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class Finding:
    """One line of the output: ``what`` was examined, the result ``found``, and the advice ``fix``, "" when ``good``."""

    what: str
    good: bool
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Trial:
    """A run of the tiny Guest on one engine.  ``console``: its output; ``result``: None when it did not end by
    itself.
    """

    engine: EngineName
    passed: bool
    detail: str
    seconds: float
    console: str = ""
    result: Result | None = None

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        result = self.result.as_dict() if self.result else None
        return {"engine": self.engine, "passed": self.passed, "detail": self.detail, "seconds": round(self.seconds, 3),
                "result": result}  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """The findings and trials.  ``system``: a description of the machine."""

    findings: list[Finding]
    system: dict[str, Any]
    kvm: KvmProbe
    trials: list[Trial] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The exit status.  0: all passed; 1: a failure; 5: no engine can run here."""
        if not self.trials:
            return 5
        built_all = all(finding.good for finding in self.findings if finding.what == "images")
        return 0 if built_all and all(trial.passed for trial in self.trials) else 1

    def as_dict(self) -> dict[str, Any]:
        """For --json and the bundle."""
        return {
            "lguest_py": {"version": __version__, "commit": commit()},
            "system": self.system,
            "kvm": vars(self.kvm),
            "findings": [vars(finding) for finding in self.findings],
            "engines": [trial.as_dict() for trial in self.trials],
            "status": self.status,
        }


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def describe_system() -> dict[str, Any]:
    """A description of the machine, without the names of the machine and its user."""
    qemu = find_qemu()
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "distribution": _distribution(),
        "processors": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "qemu": qemu[1] if qemu else None,
        "libraries": {name: _version(name) for name in LIBRARIES},
        **vars(Platform.detect()),
    }


def _images() -> Finding:
    sizes: dict[str, int] = {}
    missing = []
    for name in IMAGES:
        try:
            sizes[name] = built(name).stat().st_size
        except LguestError:
            missing.append(name)
    if missing:
        return Finding("images", False, f"not built: {', '.join(missing)}", IMAGES_ADVICE)
    return Finding("images", True, ", ".join(f"{name} {size}" for name, size in sizes.items()))


def try_engine(engine: EngineName, *, self_test: bool) -> Trial:
    """Boot the tiny Guest on an engine for one command, or with ``self_test`` for all its tests."""
    what = f"the tiny Guest's tests on {engine}" if self_test else f"the tiny Guest on {engine}"
    started = time.monotonic()
    console, result = "", None
    try:
        limit = SELF_TEST_SECONDS if self_test else BOOT_SECONDS
        command = "run=test" if self_test else "run=echo well"
        machine = Machine(engine=engine, command_line=command, on_reboot="exit", timeout=limit)
        with Progress(what) as progress, machine:
            while result is None:
                try:
                    result = machine.wait(POLL_SECONDS)
                except TimeoutError:
                    if self_test:
                        progress.say(f"{machine.console.output.count(chr(10) + 'ok ')} passed")
            console = machine.console.output
        passed, detail = judge(console, result, self_test=self_test)
    except LguestError as error:
        passed, detail = False, str(error)
    return Trial(engine, passed, detail, time.monotonic() - started, console, result)


def judge(console: str, result: Result, *, self_test: bool) -> tuple[bool, str]:
    """(passed, one line about it) of a Guest with this console output and result."""
    from lguest_py.launcher import report

    lines = console.splitlines()
    if self_test:
        failed = [line.removeprefix("FAIL").strip(" :") for line in lines if line.startswith("FAIL")]
        summary = re.fullmatch(r"([1-9]\d*) passed, (\d+) failed", lines[-1] if lines else "")
        if failed or (summary and summary[2] != "0"):
            return False, f"{len(failed)} tests of the tiny Guest failed: {'; '.join(failed[:3])}"
        if summary and result.status == 0:
            return True, f"all {summary[1]} tests of the tiny Guest passed"
    elif "well" in lines and result.status == 0 and result.snapshot.rings == (1, 3):
        return True, f"the tiny Guest ran in rings 1 and 3, in {result.times.total or 0:.1f} s"
    return False, f"{report.headline(result)} after {len(lines)} lines of output"


def examine(*, self_test: bool = False) -> Diagnosis:
    """Examine the machine and boot the tiny Guest on each engine that can run here."""
    system = describe_system()
    probe, qemu = probe_kvm(), find_qemu()
    place = Platform.detect()
    version = f"{__version__}, commit {commit()}"
    summary = f"{version}; {system['python']}; {system['distribution']}, Linux {system['release']}"
    if system["system"] != "Linux":
        summary = summary.replace("Linux", system["system"])
    findings = [
        Finding("lguest-py", True, f"{summary}, {system['machine']}"),
        _images(),
        Finding("kvm", probe.usable, probe.why, "" if probe.usable else kvm_advice(probe, place)),
        Finding("qemu", True, f"QEMU {qemu[1]}") if qemu else Finding("qemu", False, f"{QEMU} is missing", QEMU_ADVICE),
    ]
    usable: list[EngineName] = []
    usable += ["kvm"] if probe.usable else []
    usable += ["tcg"] if qemu else []
    trials = [try_engine(engine, self_test=self_test) for engine in usable]
    return Diagnosis([*findings, *examine_trials(trials, self_test=self_test)], system, probe, trials)


def examine_trials(trials: list[Trial], *, self_test: bool) -> list[Finding]:
    """The results of the trials, as findings."""
    if not trials:
        return [Finding("engines", False, "none can run here", NO_ENGINE_ADVICE)]
    fix = "report it, with the file below" if self_test else "run lguest-py doctor --self-test, and report its file"
    return [Finding(f"engine {each.engine}", each.passed, each.detail, "" if each.passed else fix) for each in trials]


def cpuinfo(path: str = "/proc/cpuinfo") -> str:
    """The kernel's description of the first processor, without a serial number."""
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return ""
    first = text.split("\n\n")[0].splitlines()
    return "".join(line + "\n" for line in first if not line.lower().startswith("serial"))
