# SPDX-License-Identifier: GPL-2.0-or-later
"""What the KVM binding knows without a KVM: numbers, structs, errors, misuse."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ffi = pytest.importorskip("lguest_py.kvm._kvm", reason="the KVM extension is built on x86 Linux only").ffi

from lguest_py.kvm import Fpu, Kvm, KvmError, Registers, Segment, SpecialRegisters, VcpuEvents, ioctls  # noqa: E402
from lguest_py.kvm.errors import MEANINGS  # noqa: E402
from lguest_py.kvm.exits import DECODERS, InternalError, Io, Mmio, Other, decode  # noqa: E402
from lguest_py.kvm.file import File  # noqa: E402
from lguest_py.kvm.structs import load, store  # noqa: E402
from lguest_py.kvm.vcpu import Vcpu, kick_signal  # noqa: E402

SOURCES = Path(__file__).resolve().parents[2] / "lguest_py" / "kvm"


def test_the_table_has_ioctls_that_nobody_wraps() -> None:
    clock = ioctls.find("KVM_GET_CLOCK")
    assert (clock.number, clock.size, clock.reads, clock.writes) == (0x8030AE7C, 48, True, False)
    run = ioctls.find("KVM_RUN")
    assert (run.number, run.size, run.reads, run.writes) == (0xAE80, 0, False, False)
    assert len(ioctls.ioctls()) > 100
    assert all(each.number >> 8 & 0xFF == 0xAE for each in ioctls.ioctls().values())


def test_the_table_has_every_ioctl_of_the_header_but_other_processors() -> None:
    header = Path("/usr/include/linux/kvm.h")
    if not header.exists():
        pytest.skip("no <linux/kvm.h> in its usual place to compare with")
    named = set(re.findall(r"#define\s+(KVM_\w+)\s+_IO[RW]*\(KVMIO", header.read_text()))
    missing = {name for name in named - ioctls.ioctls().keys() if not re.match(r"KVM_(S390|PPC|ARM|RISCV)_", name)}
    assert missing <= {
        *("KVM_ALLOCATE_RMA", "KVM_CREATE_SPAPR_TCE", "KVM_CREATE_SPAPR_TCE_64", "KVM_SET_MEMORY_ALIAS"),
        *("KVM_DIRTY_TLB", "KVM_PPC_SVM_OFF", "KVM_GET_STATS"),
    } | {name for name in missing if not _known_struct(name, header)}


def _known_struct(name: str, header: Path) -> bool:
    """Whether the struct of an ioctl is defined for this processor."""
    text = re.sub(r"\\\n", " ", header.read_text())
    struct = re.search(rf"#define\s+{name}\s+.*struct (\w+)", text)
    code = subprocess.run(["cc", "-E", "-P", str(header)], capture_output=True, text=True).stdout
    return not struct or f"struct {struct[1]} {{" in code


def test_every_ioctl_that_the_code_names_exists() -> None:
    named = {
        name
        for file in SOURCES.glob("*.py")
        for name in re.findall(r'_(?:value|pointer|get|set)\(\s*"(KVM_\w+)"', file.read_text())
    }
    assert len(named) > 25
    assert named <= ioctls.ioctls().keys()
    assert {call for call, _ in MEANINGS if call.startswith("KVM_")} <= ioctls.ioctls().keys()


@pytest.mark.parametrize("table", [ioctls.find, ioctls.capability])
def test_an_unknown_name_says_so(table: object) -> None:
    assert callable(table)
    with pytest.raises(KeyError, match="KVM_NO_SUCH"):
        table("KVM_NO_SUCH")


def test_an_error_tells_the_ioctl_its_arguments_and_the_meaning() -> None:
    error = KvmError("KVM_SET_USER_MEMORY_REGION", "slot=1, address=0x1000", errno.EEXIST)
    assert str(error) == (
        "KVM_SET_USER_MEMORY_REGION(slot=1, address=0x1000) failed: EEXIST: it overlaps another slot"
    )
    assert error.errno == errno.EEXIST
    assert "this kernel does not know" in str(KvmError("KVM_NMI", "", errno.ENOTTY))
    assert os.strerror(errno.EXDEV) in str(KvmError("KVM_NMI", "", errno.EXDEV))


def test_a_missing_device_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(KvmError, match="not loaded"):
        Kvm(str(tmp_path / "kvm"))


def test_what_goes_wrong_with_a_vcpu_without_a_kvm() -> None:
    with pytest.raises(KvmError, match=r"^mmap\(vCPU, 4096 bytes\) failed: ENODEV"):
        Vcpu(os.open("/dev/null", os.O_RDWR), 4096)
    memory = os.memfd_create("no vCPU")
    os.truncate(memory, 4096)
    with Vcpu(memory, 4096) as vcpu:
        with pytest.raises(KvmError, match="KVM_RUN failed: ENOTTY: this kernel does not know the ioctl, or"):
            vcpu.run()
        with pytest.raises(ValueError, match="was no read, or it was answered before"):
            vcpu.answer(b"")
        with pytest.raises(ValueError, match="1024 bytes, not 1"):
            vcpu.set_lapic(b"x")
    with pytest.raises(KvmError, match="KVM_RUN failed: EBADF: the vCPU is closed"):
        vcpu.run()


def test_without_a_free_signal_to_kick_with() -> None:
    numbers = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            if before[number] == signal.SIG_DFL:
                signal.signal(number, signal.SIG_IGN)
        with pytest.raises(KvmError, match=r"sigaction\(every real-time signal has a handler already\) failed: EBUSY"):
            kick_signal.__wrapped__()
    finally:
        for number in numbers:
            if before[number] == signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("/nonexistent/cc -m64", "needs a C compiler (/nonexistent/cc): apt-get install gcc"),
        ("false", "needs <linux/kvm.h>: apt-get install gcc linux-libc-dev libc6-dev"),
    ],
)
def test_what_building_it_needs_is_told_in_one_line(compiler: str, said: str) -> None:
    program = [sys.executable, str(SOURCES / "_build.py")]
    done = subprocess.run(program, env={**os.environ, "CC": compiler}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"lguest-py: {said}\n")


def test_an_ioctl_on_another_kind_of_file(tmp_path: Path) -> None:
    with File(os.open(tmp_path, os.O_RDONLY)) as file:
        with pytest.raises(KvmError, match=r"KVM_GET_CLOCK\(bytes=0x30\) failed: ENOTTY: this kernel does not know"):
            file.ioctl("KVM_GET_CLOCK", bytearray(48))
        with pytest.raises(ValueError, match="48 bytes, not 47"):
            file.ioctl("KVM_GET_CLOCK", bytearray(47))
        with pytest.raises(TypeError, match="takes a struct of 48 bytes"):
            file.ioctl("KVM_GET_CLOCK")
        with pytest.raises((BufferError, TypeError, ValueError)):
            file.ioctl("KVM_GET_CLOCK", memoryview(bytes(48)))
        with pytest.raises(KeyError):
            file.ioctl("KVM_NO_SUCH")
    with pytest.raises(KvmError, match="EBADF"):
        file.ioctl("KVM_GET_API_VERSION")
    file.close()


def test_a_file_that_is_dropped_open_is_told(tmp_path: Path) -> None:
    file = File(os.open(tmp_path, os.O_RDONLY))
    fd = file.fileno()
    with pytest.warns(ResourceWarning, match="not closed"):
        file.__del__()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


@pytest.mark.parametrize(
    ("struct", "value"),
    [
        ("kvm_regs", Registers(**{name: 2**64 - n for n, name in enumerate(("rax", "r15", "rip", "rflags"), 1)})),
        (
            "kvm_sregs",
            SpecialRegisters(cs=Segment(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), cr8=5, interrupt_bitmap=(1, 2, 3, 4)),
        ),
        ("kvm_fpu", Fpu(fpr=tuple(bytes([n]) * 16 for n in range(8)), xmm=tuple(bytes([n]) * 16 for n in range(16)))),
        ("kvm_vcpu_events", VcpuEvents(sipi_vector=9, exception_payload=2**63)),
    ],
)
def test_structs_come_back_as_they_went(struct: str, value: object) -> None:
    data = ffi.new(f"struct {struct} *")
    store(value, data)
    assert load(type(value), data) == value


def test_a_value_too_large_for_its_field_is_refused() -> None:
    with pytest.raises(OverflowError):
        store(Registers(rax=1 << 64), ffi.new("struct kvm_regs *"))
    with pytest.raises(OverflowError):
        store(Segment(selector=-1), ffi.new("struct kvm_segment *"))


def test_exits_are_decoded() -> None:
    numbers = {name: number for number, name in ioctls.exit_names().items()}
    area = ffi.new("char[]", 8192)
    run = ffi.cast("struct kvm_run *", area)

    run.exit_reason = numbers["KVM_EXIT_IO"]
    run.io.direction, run.io.size, run.io.port, run.io.count, run.io.data_offset = 1, 2, 0x3F8, 2, 4096
    ffi.memmove(area + 4096, b"abcd", 4)
    assert decode(run) == Io(0x3F8, 2, True, b"abcd", 2)
    run.io.direction = 0
    assert decode(run) == Io(0x3F8, 2, False, b"", 2)

    run.exit_reason = numbers["KVM_EXIT_MMIO"]
    run.mmio.phys_addr, run.mmio.len, run.mmio.is_write = 1 << 40, 4, 1
    run.mmio.data = list(b"12345678")
    assert decode(run) == Mmio(1 << 40, 4, True, b"1234")

    run.exit_reason = numbers["KVM_EXIT_INTERNAL_ERROR"]
    run.internal.suberror, run.internal.ndata = 3, 2
    run.internal.data = [7, 8, *[0] * 14]
    assert decode(run) == InternalError(3, (7, 8))

    run.exit_reason = numbers["KVM_EXIT_TPR_ACCESS"]
    assert decode(run) == Other(12, "KVM_EXIT_TPR_ACCESS")
    run.exit_reason = 9999
    assert decode(run) == Other(9999, "unknown")
    assert all(reason in ioctls.exit_names() for reason in DECODERS)


def test_it_stands_alone() -> None:
    """Importing the binding imports nothing else of the package."""
    code = "import sys, lguest_py.kvm; print([m for m in sys.modules if m.startswith('lguest_py.')])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOURCES.parents[1])
    assert set(re.findall(r"lguest_py\.(\w+)", done.stdout)) == {"kvm"}
