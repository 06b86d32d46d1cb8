# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine emulated by QEMU's TCG: it runs where there is no KVM, and on any processor.

QEMU is a CPU and its interrupt controllers here, and nothing more: it is given neither a kernel nor a device of
the Guest's.  RAM is a file that both processes map (ram.py); the doorbell is a byte on a debug console's socket, the
interrupt a byte on a serial port's.  Our own ROM stands at the reset vector (host_kernel/reset/reset.S).

Read next: host_kernel/core/start.S, the first thing that runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from lguest_py.engines.base import MachineEnd, MachineFacts, no_memory
from lguest_py.engines.cpuid import qemu_cpu
from lguest_py.engines.ram import Ram
from lguest_py.errors import EngineError, NoEngineError
from lguest_py.files.descriptors import check, limit_is_low, reports_too_many_open, too_many_open
from lguest_py.shared_memory import _layouts as layouts

QEMU = "qemu-system-i386"
IMAGES = Path(__file__).resolve().parent.parent / "_images"
RESET_BLOCK = 0x500  # where reset.S finds the entry and ebx
DOORBELL_PORT = 0x500
DEBUG_PORT = 0xE9
EXIT_PORT = 0x501
SERIAL_PORT = 0x3F8
SERIAL_PIN = 4
MACHINE = "microvm,pit=off,rtc=off,acpi=off,x-option-roms=off,auto-kernel-cmdline=off"
PR_SET_PDEATHSIG = 1


@functools.cache
def find_qemu() -> tuple[str, str] | None:
    """The emulator's path and version, or None where there is none."""
    path = shutil.which(QEMU)
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        check(error)
        return None
    said = done.stdout
    if done.returncode:
        if reports_too_many_open(done.stderr) or limit_is_low():
            raise too_many_open()
        return None
    version = re.search(r"version (\d+[.\d]*)", said)
    return path, version.group(1) if version else "of unknown version"


def _scratch() -> IO[bytes]:
    """A file without a name."""
    if sys.platform == "linux":  # in memory: there may be no directory to write to
        return os.fdopen(os.memfd_create("lguest-py errors"), "w+b")
    return tempfile.TemporaryFile()


def _pair(stack: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, far = socket.socketpair()
    stack.enter_context(ours)
    stack.enter_context(far)
    return ours, far


def _die_with_parent() -> Callable[[], None] | None:
    """What the child must run before QEMU, so that it does not outlive us (Linux: prctl(2))."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return prepare


class TcgEngine:
    """A VM in a QEMU child process (lguest_py.engines.base.Engine says what the methods do)."""

    name = "tcg"
    facts = MachineFacts(
        doorbell_port=DOORBELL_PORT,
        doorbell_pin=SERIAL_PIN,
        doorbell_ack_port=SERIAL_PORT,
        debug_port=DEBUG_PORT,
        exit_port=EXIT_PORT,
        tsc_khz=0,
    )

    def __init__(self, memory_bytes: int) -> None:
        found = find_qemu()
        if found is None:
            raise NoEngineError(f"{QEMU} is not installed: apt-get install qemu-system-x86")
        self._qemu, version = found
        self.about = f"QEMU {version} emulates the CPU"
        self._size = memory_bytes
        with contextlib.ExitStack() as stack:  # what is made is given back, should the next step fail
            try:
                self._ram = Ram(memory_bytes)
            except OSError as error:
                raise no_memory(memory_bytes, error) from None
            stack.callback(self._ram.close)
            stack.enter_context(self._ram.map)
            self._errors = stack.enter_context(_scratch())
            self._doorbell, self._doorbell_far = _pair(stack)
            self._serial, self._serial_far = _pair(stack)
            self._debug, self._debug_far = _pair(stack)
            stack.pop_all()
        self.memory = memoryview(self._ram.map)
        self._process: subprocess.Popen[bytes] | None = None
        for ours in (self._doorbell, self._serial, self._debug):
            ours.setblocking(False)
        self._text = bytearray()
        self._end: MachineEnd | None = None

    def arguments(self) -> list[str]:
        """The command line: a CPU, RAM, our ROM and four small devices."""
        size, ram = f"{self._size // 1024}k", self._ram.name.replace(",", ",,")  # a comma ends a value
        return [
            *(self._qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-accel", "tcg", "-cpu", qemu_cpu(), "-m", size),
            *("-machine", f"{MACHINE},memory-backend=ram"),
            *("-object", f"memory-backend-file,id=ram,size={size},mem-path={ram},share=on"),
            *("-bios", str(IMAGES / "reset.bin")),
            *("-chardev", f"socket,id=bell,fd={self._doorbell_far.fileno()}"),
            *("-device", f"isa-debugcon,iobase={DOORBELL_PORT:#x},chardev=bell"),
            *("-chardev", f"socket,id=text,fd={self._debug_far.fileno()}"),
            *("-device", f"isa-debugcon,iobase={DEBUG_PORT:#x},chardev=text"),
            *("-chardev", f"socket,id=serial,fd={self._serial_far.fileno()}", "-serial", "chardev:serial"),
            *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"),
        ]

    def start(self, entry: int, ebx: int) -> None:
        """Start QEMU; it comes out of reset at ``entry``."""
        struct.pack_into("<II", self.memory, RESET_BLOCK, entry, ebx)
        far = (self._doorbell_far, self._serial_far, self._debug_far)
        try:
            self._process = subprocess.Popen(
                self.arguments(),
                stdin=self._errors,  # it reads nothing
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=(*self._ram.passed, *(each.fileno() for each in far)),
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            check(error)
            raise EngineError(f"cannot start {self._qemu} ({error.strerror}): install QEMU for x86 anew") from None
        for each in far:
            each.close()

    def fileno(self) -> int:
        """Readable when the doorbell rang, and when QEMU closed its end of it."""
        return self._doorbell.fileno()

    def poll(self) -> MachineEnd | None:
        """Empty the doorbell's socket; its end is QEMU's."""
        try:
            while self._end is None:
                if not self._doorbell.recv(4096):
                    self._end = self._reap()
                self._ram.opened()
        except BlockingIOError:
            pass
        except ConnectionError:
            self._end = self._reap()
        return self._end

    def _reap(self) -> MachineEnd:
        assert self._process is not None
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status == layouts.EXIT_VALUE << 1 | 1:  # how isa-debug-exit says it
            return MachineEnd(exited=True)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        if any(map(reports_too_many_open, said)):
            raise too_many_open()
        if status == 0 and not said:  # a signal ends it with status 0 too, and it says which
            return MachineEnd(exited=False, detail="triple fault of the Host kernel: the emulated CPU shut down")
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return MachineEnd(exited=False, detail=f"QEMU {how}" + (f": {said[-1]}" if said else ""))

    def interrupt(self) -> None:
        """A byte to the serial port.  A full socket already holds interrupts enough."""
        with contextlib.suppress(OSError):
            self._serial.send(b"!")

    def debug_text(self) -> str:
        """What came out of the debug console."""
        with contextlib.suppress(OSError):
            while chunk := self._debug.recv(4096):
                self._text += chunk
        return self._text.decode(errors="replace")

    def stop(self) -> None:
        """Kill QEMU if it still runs, and wait for it: the memory is ours as well."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._end = self._end or MachineEnd(exited=False, detail="closed")

    def close(self) -> None:
        """Stop QEMU, give everything back."""
        self.stop()
        for each in (self._doorbell, self._doorbell_far, self._serial, self._serial_far, self._debug, self._debug_far):
            each.close()
        self._errors.close()
        with contextlib.suppress(BufferError):  # somebody still looks at the memory: it goes when they let go
            self.memory.release()
            self._ram.map.close()
        self._ram.close()
