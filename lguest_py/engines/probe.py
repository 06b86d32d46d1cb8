# SPDX-License-Identifier: GPL-2.0-or-later
"""Probe whether this machine's KVM can run the VM, by running a small one (lguest_py/kvm/selftest).

A /dev/kvm that accepts every ioctl is not enough: PVM, a KVM without hardware virtualisation that is common in clouds,
accepts them and runs only 64-bit code.

Read next: lguest_py/kvm/selftest/selftest.S.
"""

from __future__ import annotations

import errno
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lguest_py.files.descriptors import check

if TYPE_CHECKING:
    from lguest_py.kvm import Kvm, KvmError
    from lguest_py.kvm.selftest import Result

X86: Final = ("x86_64", "i686", "i586", "i386")
SECONDS: Final = 5.0  # limit of the self-test, which takes milliseconds, and longer on an emulated processor
NEEDED: Final = (
    "KVM_CAP_USER_MEMORY",
    "KVM_CAP_SET_TSS_ADDR",
    "KVM_CAP_EXT_CPUID",
    "KVM_CAP_GET_TSC_KHZ",
    "KVM_CAP_IMMEDIATE_EXIT",
    "KVM_CAP_IRQCHIP",
    "KVM_CAP_IRQ_ROUTING",
    "KVM_CAP_IRQFD",
    "KVM_CAP_IOEVENTFD",
)


@dataclass(frozen=True)
class KvmProbe:
    """Whether the kvm engine can run here.

    ``flavour``: kvm_intel or kvm_amd (with "nested" before it in a VM), PVM, "unknown KVM", "no permission",
    "no device", "no binding", "not Linux", "not x86".  ``why`` is one sentence without a full stop.
    """

    usable: bool
    flavour: str
    why: str


def probe_kvm(device: str = "/dev/kvm", sys_module: str = "/sys/module", cpuinfo: str = "/proc/cpuinfo") -> KvmProbe:
    """Check the platform and, if there is a KVM, run the self-test for at most SECONDS.  Raises DescriptorError."""
    if sys.platform != "linux":
        return KvmProbe(False, "not Linux", f"KVM is a part of Linux, and this is {platform.system()}")
    if platform.machine() not in X86:
        return KvmProbe(False, "not x86", f"KVM runs the machine's own instructions, and this is {platform.machine()}")
    try:
        from lguest_py.kvm import Kvm, KvmError
    except ImportError as error:
        check(error)
        return KvmProbe(False, "no binding", f"the KVM extension of lguest-py was not built or does not load ({error})")
    try:
        with Kvm(device) as kvm:
            return _run_self_test(kvm, kvm_flavour(sys_module, cpuinfo))
    except KvmError as error:
        check(error)
        return _refused(error, device, kvm_flavour(sys_module, cpuinfo))


def _run_self_test(kvm: Kvm, flavour: str) -> KvmProbe:
    from lguest_py.kvm import selftest

    missing = [name for name in NEEDED if not kvm.check_extension(name)]
    if missing:
        return KvmProbe(False, flavour, f"this kernel's KVM lacks {', '.join(missing)}")
    result = selftest.run(kvm, seconds=SECONDS)
    if not result.failed:
        return KvmProbe(True, flavour, f"{flavour} runs 32-bit code with ring 1")
    if flavour == "PVM":
        why = "/dev/kvm is of the PVM kind, without hardware virtualisation, which cannot run a 32-bit VM"
    else:
        why = f"/dev/kvm ({flavour}) cannot run a 32-bit VM"
    return KvmProbe(False, flavour, f"{why}: its self-test stopped at {result.failed} ({_end(result)})")


def _end(result: Result) -> str:
    from lguest_py.kvm import InternalError, Interrupted

    match result.end:
        case InternalError(suberror=number):
            return f"InternalError {number}"
        case Interrupted():
            return f"no end in {SECONDS:g} s"
        case end:
            return type(end).__name__


def _refused(error: KvmError, device: str, flavour: str) -> KvmProbe:
    if error.call == "open /dev/kvm":
        if error.errno in (errno.EACCES, errno.EPERM):
            return KvmProbe(False, "no permission", f"this user may not open {device} (its group may: often kvm)")
        return KvmProbe(False, "no device", f"there is no {device} that works here ({error})")
    return KvmProbe(False, flavour, f"/dev/kvm ({flavour}) refused: {error}")


def kvm_flavour(sys_module: str = "/sys/module", cpuinfo: str = "/proc/cpuinfo") -> str:
    """The kernel's kind of KVM (KvmProbe.flavour), by its modules and the processor's flags."""
    try:
        text = Path(cpuinfo).read_text(errors="replace")
    except OSError:
        text = ""
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").partition(":")[2].split())
    nested = "nested " if "hypervisor" in flags else ""
    if Path(sys_module, "kvm_pvm").exists():
        return "PVM"
    for module, flag in (("kvm_intel", "vmx"), ("kvm_amd", "svm")):
        if Path(sys_module, module).exists() or flag in flags:
            return nested + module
    return "unknown KVM"
