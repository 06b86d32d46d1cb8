# SPDX-License-Identifier: GPL-2.0-or-later
"""The structs of <linux/kvm.h> that are read and written as a whole, as dataclasses with the kernel's field names.

``load`` and ``store`` convert between them and C data: a nested struct is a nested dataclass, an array of bytes is
bytes, any other array a tuple.

Source: the kernel's Documentation/virt/kvm/api.rst, section 4. Read next: vcpu.py, which reads and writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from enum import IntEnum
from typing import Any, TypeVar, cast

from lguest_py.kvm._kvm import ffi

T = TypeVar("T")


@dataclass
class Registers:
    """struct kvm_regs."""

    rax: int = 0
    rbx: int = 0
    rcx: int = 0
    rdx: int = 0
    rsi: int = 0
    rdi: int = 0
    rsp: int = 0
    rbp: int = 0
    r8: int = 0
    r9: int = 0
    r10: int = 0
    r11: int = 0
    r12: int = 0
    r13: int = 0
    r14: int = 0
    r15: int = 0
    rip: int = 0
    rflags: int = 2


@dataclass
class Segment:
    """struct kvm_segment. ``type`` and the flags are as in a descriptor (Intel SDM vol. 3, 3.4.5); limit in bytes."""

    base: int = 0
    limit: int = 0
    selector: int = 0
    type: int = 0
    present: int = 0
    dpl: int = 0
    db: int = 0
    s: int = 0
    l: int = 0  # noqa: E741 (the kernel's name)
    g: int = 0
    avl: int = 0
    unusable: int = 0


@dataclass
class DescriptorTable:
    """struct kvm_dtable: the operand of lgdt or lidt."""

    base: int = 0
    limit: int = 0


@dataclass
class SpecialRegisters:
    """struct kvm_sregs."""

    cs: Segment = field(default_factory=Segment)
    ds: Segment = field(default_factory=Segment)
    es: Segment = field(default_factory=Segment)
    fs: Segment = field(default_factory=Segment)
    gs: Segment = field(default_factory=Segment)
    ss: Segment = field(default_factory=Segment)
    tr: Segment = field(default_factory=Segment)
    ldt: Segment = field(default_factory=Segment)
    gdt: DescriptorTable = field(default_factory=DescriptorTable)
    idt: DescriptorTable = field(default_factory=DescriptorTable)
    cr0: int = 0
    cr2: int = 0
    cr3: int = 0
    cr4: int = 0
    cr8: int = 0
    efer: int = 0
    apic_base: int = 0
    interrupt_bitmap: tuple[int, ...] = (0, 0, 0, 0)


@dataclass
class Fpu:
    """struct kvm_fpu: each of fpr and xmm is 16 bytes."""

    fpr: tuple[bytes, ...] = (bytes(16),) * 8
    fcw: int = 0x37F
    fsw: int = 0
    ftwx: int = 0
    last_opcode: int = 0
    last_ip: int = 0
    last_dp: int = 0
    xmm: tuple[bytes, ...] = (bytes(16),) * 16
    mxcsr: int = 0x1F80


@dataclass(frozen=True)
class CpuidEntry:
    """struct kvm_cpuid_entry2: the result of cpuid with eax = function, and ecx = index if flags has bit 0."""

    function: int = 0
    index: int = 0
    flags: int = 0
    eax: int = 0
    ebx: int = 0
    ecx: int = 0
    edx: int = 0


class MpState(IntEnum):
    """struct kvm_mp_state: the activity state of a vCPU."""

    RUNNABLE = 0
    UNINITIALIZED = 1
    INIT_RECEIVED = 2
    HALTED = 3
    SIPI_RECEIVED = 4


@dataclass
class ExceptionEvent:
    """A pending or injected exception."""

    injected: int = 0
    nr: int = 0
    has_error_code: int = 0
    pending: int = 0
    error_code: int = 0


@dataclass
class InterruptEvent:
    """An injected interrupt; ``shadow`` is the delay after sti or a load of ss."""

    injected: int = 0
    nr: int = 0
    soft: int = 0
    shadow: int = 0


@dataclass
class NmiEvent:
    """The vCPU's NMI."""

    injected: int = 0
    pending: int = 0
    masked: int = 0


@dataclass
class SmiEvent:
    """The vCPU's system management interrupt."""

    smm: int = 0
    pending: int = 0
    smm_inside_nmi: int = 0
    latched_init: int = 0


@dataclass
class VcpuEvents:
    """struct kvm_vcpu_events."""

    exception: ExceptionEvent = field(default_factory=ExceptionEvent)
    interrupt: InterruptEvent = field(default_factory=InterruptEvent)
    nmi: NmiEvent = field(default_factory=NmiEvent)
    sipi_vector: int = 0
    flags: int = 0
    smi: SmiEvent = field(default_factory=SmiEvent)
    exception_has_payload: int = 0
    exception_payload: int = 0


@dataclass(frozen=True)
class IrqRoute:
    """The destination of a GSI: a pin of an in-kernel interrupt controller (0 and 1: the two PICs, 2: the I/O APIC)."""

    gsi: int
    chip: int
    pin: int


def load(kind: type[T], data: Any) -> T:
    """A dataclass of type ``kind`` with the values of C struct ``data``."""
    values = []
    for each in fields(cast(Any, kind)):
        value = getattr(data, each.name)
        if is_dataclass(each.default_factory):
            value = load(cast(type[Any], each.default_factory), value)
        elif isinstance(value, ffi.CData):
            value = _array(value)
        values.append(value)
    return kind(*values)


def _array(data: Any) -> bytes | tuple[Any, ...]:
    item = ffi.typeof(data).item
    if item.kind == "array":
        return tuple(bytes(row) for row in data)
    return bytes(data) if ffi.sizeof(item) == 1 else tuple(data)


def store(value: Any, data: Any) -> None:
    """Write a dataclass's values into C struct ``data``. Raises OverflowError for a value out of range."""
    for each in fields(value):
        item = getattr(value, each.name)
        if is_dataclass(item):
            store(item, getattr(data, each.name))
        elif isinstance(item, tuple | bytes):
            setattr(data, each.name, [list(row) if isinstance(row, bytes) else row for row in item])
        else:
            setattr(data, each.name, item)
