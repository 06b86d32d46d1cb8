# SPDX-License-Identifier: GPL-2.0-or-later
"""The exit reasons of a vCPU: a frozen dataclass for each, decoded from struct kvm_run.

Source: the kernel's Documentation/virt/kvm/api.rst, section 5. Read next: vcpu.py, whose ``run`` returns them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lguest_py.kvm import ioctls
from lguest_py.kvm._kvm import ffi, lib


@dataclass(frozen=True)
class Io:
    """IN or OUT of ``count`` items of ``size`` bytes (string instructions have more than one).

    ``data`` is the written data. After a read, pass ``size * count`` bytes to ``Vcpu.answer`` before the next run.
    """

    port: int
    size: int
    is_write: bool
    data: bytes = b""
    count: int = 1


@dataclass(frozen=True)
class Mmio:
    """An access of ``size`` bytes to an address without memory. A read needs ``Vcpu.answer``, as for Io."""

    address: int
    size: int
    is_write: bool
    data: bytes = b""


@dataclass(frozen=True)
class Hlt:
    """HLT. With in-kernel interrupt controllers KVM handles it, without an exit."""


@dataclass(frozen=True)
class Shutdown:
    """A triple fault."""


@dataclass(frozen=True)
class InternalError:
    """KVM could not emulate an instruction (suberror 1) or deliver an event (3); api.rst has the others."""

    suberror: int
    data: tuple[int, ...] = ()


@dataclass(frozen=True)
class FailEntry:
    """The processor refused the vCPU's state; ``reason`` is the processor's own code."""

    reason: int
    cpu: int


@dataclass(frozen=True)
class Interrupted:
    """A signal or ``Vcpu.kick`` ended the run; the VM itself has no event."""


@dataclass(frozen=True)
class Debug:
    """What ``Vcpu.set_guest_debug`` asked for: exception 1 (step, debug register) or 3 (int3), at linear ``pc``."""

    exception: int
    pc: int
    dr6: int
    dr7: int


@dataclass(frozen=True)
class IrqWindowOpen:
    """Interrupts can be injected now."""


@dataclass(frozen=True)
class Nmi:
    """A non-maskable interrupt of the host."""


@dataclass(frozen=True)
class SystemEvent:
    """The VM asks for shutdown (1), reset (2) or reports a crash (3) through an interface of the architecture."""

    type: int


@dataclass(frozen=True)
class Unknown:
    """A hardware exit reason that KVM does not know."""

    hardware_reason: int


@dataclass(frozen=True)
class Other:
    """An exit that is not decoded here: its KVM_EXIT_ number and name."""

    reason: int
    name: str


Exit: TypeAlias = (
    Io
    | Mmio
    | Hlt
    | Shutdown
    | InternalError
    | FailEntry
    | Interrupted
    | Debug
    | IrqWindowOpen
    | Nmi
    | SystemEvent
    | Unknown
    | Other
)


def _io(run: Any) -> Io:
    io = run.io
    is_write = io.direction == lib.KVM_EXIT_IO_OUT
    data = bytes(ffi.buffer(io_data(run), io.size * io.count)) if is_write else b""
    return Io(io.port, io.size, is_write, data, io.count)


def _mmio(run: Any) -> Mmio:
    mmio = run.mmio
    return Mmio(mmio.phys_addr, mmio.len, bool(mmio.is_write), bytes(mmio.data)[: mmio.len] if mmio.is_write else b"")


def _internal_error(run: Any) -> InternalError:
    return InternalError(run.internal.suberror, tuple(run.internal.data)[: run.internal.ndata])


def _debug(run: Any) -> Debug:
    arch = run.debug.arch
    return Debug(arch.exception, arch.pc, arch.dr6, arch.dr7)


DECODERS: Final[dict[int, Callable[[Any], Exit]]] = {
    lib.KVM_EXIT_UNKNOWN: lambda run: Unknown(run.hw.hardware_exit_reason),
    lib.KVM_EXIT_IO: _io,
    lib.KVM_EXIT_MMIO: _mmio,
    lib.KVM_EXIT_DEBUG: _debug,
    lib.KVM_EXIT_HLT: lambda _: Hlt(),
    lib.KVM_EXIT_IRQ_WINDOW_OPEN: lambda _: IrqWindowOpen(),
    lib.KVM_EXIT_SHUTDOWN: lambda _: Shutdown(),
    lib.KVM_EXIT_FAIL_ENTRY: lambda run: FailEntry(run.fail_entry.hardware_entry_failure_reason, run.fail_entry.cpu),
    lib.KVM_EXIT_INTR: lambda _: Interrupted(),
    lib.KVM_EXIT_NMI: lambda _: Nmi(),
    lib.KVM_EXIT_INTERNAL_ERROR: _internal_error,
    lib.KVM_EXIT_SYSTEM_EVENT: lambda run: SystemEvent(run.system_event.type),
}


def io_data(run: Any) -> Any:
    """A C pointer to an Io exit's data, in the area shared with KVM."""
    return ffi.cast("char *", run) + run.io.data_offset


def decode(run: Any) -> Exit:
    """The exit that struct kvm_run describes."""
    reason = run.exit_reason
    decoder = DECODERS.get(reason)
    return decoder(run) if decoder else Other(reason, ioctls.exit_names().get(reason, "unknown"))
