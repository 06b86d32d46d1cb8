# SPDX-License-Identifier: GPL-2.0-or-later
"""Advice for a missing engine, one line each, that depends on the platform: a VM, a container, WSL, bare metal.

Read next: probe.py, whose result it explains; lguest_py/doctor/diagnosis.py, which prints it.
"""

from __future__ import annotations

import grp
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from lguest_py.engines.base import INSTALL_QEMU as QEMU_ADVICE
from lguest_py.engines.probe import KvmProbe

__all__ = ["IMAGES_ADVICE", "NO_ENGINE_ADVICE", "QEMU_ADVICE", "Platform", "kvm_advice"]
IMAGES_ADVICE = "install lguest-py anew with gcc and binutils there (Debian: apt-get install gcc binutils)"
GROUP_READ_WRITE = 0o060
NO_ENGINE_ADVICE = "the fix for qemu above is the easiest: the engine tcg needs nothing else"


@dataclass(frozen=True)
class Platform:
    """The platform of this process.  ``device_group``: the group that may open /dev/kvm; "" when only root may."""

    virtual: bool = False  # in a VM, by the processor's "hypervisor" flag
    container: bool = False
    wsl: bool = False
    module: str = ""  # the KVM module for this processor: "kvm_intel", "kvm_amd", or "" without VT-x and AMD-V
    device_group: str = ""

    @classmethod
    def detect(cls) -> Platform:
        """The platform of this process."""
        try:
            text = Path("/proc/cpuinfo").read_text(errors="replace")
        except OSError:
            text = ""
        flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
        return cls(
            virtual="hypervisor" in flags,
            container=any(os.path.exists(name) for name in ("/run/.containerenv", "/.dockerenv")),
            wsl="microsoft" in platform.release().lower(),
            module="kvm_intel" if "vmx" in flags else "kvm_amd" if "svm" in flags else "",
            device_group=_device_group(),
        )


def _device_group(device: str = "/dev/kvm") -> str:
    try:
        status = os.stat(device)
        if status.st_gid == 0 or status.st_mode & GROUP_READ_WRITE != GROUP_READ_WRITE:
            return ""
        return grp.getgrgid(status.st_gid).gr_name
    except OSError:
        return ""
    except KeyError:
        return str(status.st_gid)


def kvm_advice(probe: KvmProbe, place: Platform) -> str:
    """One line of advice for a probe that failed."""
    match probe.flavour:
        case "no device":
            return _no_device(place)
        case "no permission":
            return _no_permission(place)
        case "no binding":
            return "install lguest-py anew with a compiler there (Debian: apt-get install gcc libc6-dev python3-dev)"
        case "not Linux" | "not x86":
            return "nothing: the engine tcg does the same here"
        case "PVM":
            return "nothing in this VM: take one with nested VT-x or AMD-V, or a real machine; till then --engine tcg"
    return "run lguest-py doctor --self-test and report its file; till then --engine tcg"


def _no_device(place: Platform) -> str:
    if place.container:
        return "start the container with --device /dev/kvm (the machine around it must have that)"
    if place.wsl:
        return "on Windows put nestedVirtualization=true below [wsl2] in %UserProfile%\\.wslconfig, then wsl --shutdown"
    if place.module:
        return f"load the module: sudo modprobe {place.module}"
    if place.virtual:
        return "turn on nested virtualisation for this VM, on the machine around it; till then --engine tcg"
    return "turn on VT-x or AMD-V in the firmware's setup, then sudo modprobe kvm_intel or kvm_amd"


def _no_permission(place: Platform) -> str:
    if place.container:
        return "start the container with --group-add keep-groups (podman), or --group-add $(stat -c %g /dev/kvm)"
    if place.device_group:
        return f'join the group of /dev/kvm: sudo usermod -aG {place.device_group} "$USER", and log in again'
    return "let users open it, until the next boot: sudo chmod 666 /dev/kvm"
