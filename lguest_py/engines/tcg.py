# SPDX-License-Identifier: GPL-2.0-or-later
"""TcgEngine: a VM that QEMU's TCG emulates, without KVM and on any processor.

QEMU emulates only a CPU and its interrupt controllers: it gets no kernel and has no device of the Guest.  RAM is a file
that both processes map (ram.py).  The doorbell is a byte on the socket of a debug console, the interrupt a byte on that
of a serial port.  A ROM of lguest-py is at the reset vector (host_kernel/reset/reset.S).

Read next: host_kernel/core/start.S, the VM's first instructions.
Next in the book: kvm.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from lguest_py.engines.base import MachineEnd, MachineFacts, no_memory
from lguest_py.engines.cpuid import qemu_cpu
from lguest_py.engines.incoming import stream
from lguest_py.engines.ram import Ram
from lguest_py.errors import EngineError, NoEngineError
from lguest_py.files.descriptors import check, limit_is_low, reports_too_many_open, too_many_open
from lguest_py.sandbox import child, landlock
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
VERSION_SECONDS = 20  # limit of qemu --version
REAP_SECONDS = 10  # from the end of QEMU's sockets to its exit
# QEMU's own seccomp filter.  It becomes another user only for --username and --chroot.
SANDBOX, SAME_USER = "on,obsolete=deny,spawn=deny,resourcecontrol=deny", "elevateprivileges=deny"
USERS = "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"
ADDRESSES = 4 << 30  # bytes of address space that QEMU may have beside the VM's memory; its own code cache has 1 GiB
MESSAGES = 1 << 20  # bytes of the longest file that it may write: that of its messages


@functools.cache
def ask_qemu() -> tuple[str, str, bool] | None:
    """QEMU's path, its version, and whether it has its sandbox; None as ``find_qemu``.  Raises DescriptorError."""
    path = shutil.which(QEMU)
    if path is None:
        return None
    for sandbox in (["-sandbox", SANDBOX], []):
        try:
            done = subprocess.run(
                [path, *sandbox, "--version"],
                capture_output=True, text=True, errors="replace", timeout=VERSION_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            check(error)
            return None
        if not done.returncode:
            version = re.search(r"version (\d+[.\d]*)", done.stdout)
            return path, version.group(1) if version else "of unknown version", bool(sandbox)
        if reports_too_many_open(done.stderr) or limit_is_low():
            raise too_many_open()
    return None


def find_qemu() -> tuple[str, str] | None:
    """QEMU's path and version; None when it is not installed or does not run.  Raises DescriptorError."""
    asked = ask_qemu()
    return asked[:2] if asked else None


def sandbox_options(*, same_user: bool = True) -> list[str]:
    """QEMU's options for a filter of its own; none where it was built without, or for --no-sandbox."""
    asked = ask_qemu() if child.enabled() else None
    if not asked or not asked[2]:
        return []
    return ["-sandbox", ",".join([SANDBOX, SAME_USER] if same_user else [SANDBOX])]


def _scratch() -> IO[bytes]:
    """A temporary file without a name."""
    if sys.platform == "linux":  # in memory: there may be no directory to write to
        return os.fdopen(os.memfd_create("lguest-py errors"), "w+b")
    return tempfile.TemporaryFile()


def socket_pair(stack: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    """(our end, QEMU's end) of a socket."""
    own, qemu = socket.socketpair()
    stack.enter_context(own)
    stack.enter_context(qemu)
    return own, qemu


def qemu_command(qemu: str, size: int, ram: str, ends: Sequence[int], *, gdb: bool = False) -> list[str]:
    """QEMU's command line: a CPU, RAM of ``size`` bytes in the file ``ram``, the ROM and four small devices.

    ``ends``: descriptors of the doorbell, the serial port, the debug port, with ``gdb`` of a socket at which QEMU's own
    stub listens, and perhaps of what it reads (incoming.py).
    """
    bell, serial, text, *incoming = ends
    stub = incoming.pop(0) if gdb else -1
    listening = "socket,id=gdb,fd={},server=on,wait=off"
    kib, ram = f"{size // 1024}k", ram.replace(",", ",,")  # QEMU's escape for a comma
    return [
        *(qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-accel", "tcg", "-cpu", qemu_cpu(), "-m", kib),
        *("-machine", f"{MACHINE},memory-backend=ram"),
        *("-object", f"memory-backend-file,id=ram,size={kib},mem-path={ram},share=on"),
        *("-bios", str(IMAGES / "reset.bin")),
        *("-chardev", f"socket,id=bell,fd={bell}"),
        *("-device", f"isa-debugcon,iobase={DOORBELL_PORT:#x},chardev=bell"),
        *("-chardev", f"socket,id=text,fd={text}"),
        *("-device", f"isa-debugcon,iobase={DEBUG_PORT:#x},chardev=text"),
        *("-chardev", f"socket,id=serial,fd={serial}", "-serial", "chardev:serial"),
        *("-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"),
        *(("-chardev", listening.format(stub), "-gdb", "chardev:gdb") if gdb else ()),
        *(word for each in incoming for word in ("-incoming", f"fd:{each}")),
    ]


def start_qemu(command: Sequence[str], passed: Sequence[int], errors: int, size: int) -> subprocess.Popen[bytes]:
    """Start QEMU for a VM with ``size`` bytes, behind walls of its own.  Raises OSError.

    It inherits the descriptors ``passed`` and writes to ``errors``.
    """
    rules: list[landlock.Rule] = [*child.program_rules(command[0]), (str(IMAGES), landlock.READ)]
    rules += [(place, landlock.READ_FILE) for place in USERS]
    rules += [(str(place), landlock.READ_FILE | landlock.WRITE_FILE) for place in _named(command)]
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": MESSAGES, "RLIMIT_AS": size + ADDRESSES}
    with child.walled(rules, limits) as prepare:
        return subprocess.Popen(
            command,
            stdin=errors,  # QEMU does not read it
            stdout=errors,
            stderr=errors,
            pass_fds=passed,
            start_new_session=True,  # so that Ctrl-C signals only this process
            preexec_fn=prepare,
        )


def _named(command: Sequence[str]) -> list[str]:
    """The file of the VM's memory, where it has a name that is not that of a descriptor."""
    found = (re.search(r",mem-path=((?:[^,]|,,)*)", word) for word in command)
    names = [each[1].replace(",,", ",") for each in found if each]
    return [name for name in names if not name.startswith("/proc/")]


class Child(Protocol):
    """A QEMU that was started, as subprocess.Popen shows it."""

    def poll(self) -> int | None:
        """Its status, if it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Its status, waiting for its end.  Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """Kill it."""


class Spawn(Protocol):
    """Starts QEMU elsewhere (keeper.py)."""

    def __call__(self, size: int, fds: Sequence[int], *, gdb: bool = False) -> Child:
        """With so many bytes of RAM, and descriptors: RAM, those of ``qemu_command``, errors.  Raises LguestError."""



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

    def __init__(self, memory_bytes: int, spawn: Spawn | None = None, gdb: int = -1) -> None:
        """``gdb``: a socket at which QEMU is to listen for gdb; it stays the caller's."""
        found = find_qemu()
        if found is None:
            raise NoEngineError(f"{QEMU} is not installed: apt-get install qemu-system-x86")
        self._qemu, version = found
        self.description = f"QEMU {version} emulates the CPU"
        self._size = memory_bytes
        with contextlib.ExitStack() as stack:  # releases what was made if a later step fails
            try:
                self._ram = Ram(memory_bytes, by_descriptor=spawn is not None)
            except OSError as error:
                raise no_memory(memory_bytes, error) from None
            stack.callback(self._ram.close)
            stack.enter_context(self._ram.map)
            self._errors = stack.enter_context(_scratch())
            self._doorbell, self._qemu_doorbell = socket_pair(stack)
            self._serial, self._qemu_serial = socket_pair(stack)
            self._debug, self._qemu_debug = socket_pair(stack)
            stack.pop_all()
        self.memory = memoryview(self._ram.map)
        self._spawn, self._gdb = spawn, gdb
        self._process: Child | None = None
        for own in (self._doorbell, self._serial, self._debug):
            own.setblocking(False)
        self._text = bytearray()
        self._end: MachineEnd | None = None
        self._was_opened = False  # QEMU has opened the memory
        self._incoming: IO[bytes] | None = None  # what it reads at its start

    def _ends(self) -> list[int]:
        """QEMU's ends: doorbell, serial port, debug port, where it listens for gdb, and what it reads."""
        ends = [each.fileno() for each in (self._qemu_doorbell, self._qemu_serial, self._qemu_debug)]
        ends += [self._gdb] if self._gdb >= 0 else []
        return [*ends, self._incoming.fileno()] if self._incoming else ends

    def _more(self) -> list[int]:
        """Descriptors that a subclass passes on beside them."""
        return []

    def arguments(self) -> list[str]:
        """QEMU's command line."""
        made = qemu_command(self._qemu, self._size, self._ram.name, self._ends(), gdb=self._gdb >= 0)
        return [*made, *sandbox_options()]

    def start(self, entry: int, ebx: int, tsc: int = 0) -> None:
        """Start QEMU; the ROM jumps to ``entry``."""
        struct.pack_into("<II", self.memory, RESET_BLOCK, entry, ebx)
        try:
            if tsc:
                self._incoming = _scratch()
                self._incoming.write(stream(tsc, (IMAGES / "reset.bin").read_bytes()))
                self._incoming.seek(0)
            if self._spawn:
                fds = [*self._ram.passed, *self._ends(), self._errors.fileno()]
                self._process = self._spawn(self._size, fds, gdb=self._gdb >= 0)
            else:
                passed = *self._ram.passed, *self._ends(), *self._more()
                self._process = start_qemu(self.arguments(), passed, self._errors.fileno(), self._size)
        except OSError as error:
            check(error)
            raise EngineError(f"cannot start {self._qemu} ({error.strerror}): install QEMU for x86 anew") from None
        for each in (self._qemu_doorbell, self._qemu_serial, self._qemu_debug):
            each.close()
        if self._incoming:
            self._incoming.close()

    def fileno(self) -> int:
        """Readable after a doorbell, and when QEMU closed its end."""
        return self._doorbell.fileno()

    def poll(self) -> MachineEnd | None:
        """Read the doorbell's socket; its end of file is the end of QEMU.  What one read leaves keeps it readable."""
        if self._end is None:
            try:
                if not self._doorbell.recv(4096):
                    self._end = self._reap()
                if not self._was_opened:
                    self._was_opened = True
                    self._ram.opened()
            except BlockingIOError:
                pass
            except ConnectionError:
                self._end = self._reap()
        return self._end

    def _reap(self) -> MachineEnd:
        assert self._process is not None
        try:
            status = self._process.wait(timeout=REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status == layouts.EXIT_VALUE << 1 | 1:  # the exit status of isa-debug-exit
            return MachineEnd(exited=True)
        self._errors.seek(0)
        messages = self._errors.read().decode(errors="replace").strip().splitlines()
        if any(map(reports_too_many_open, messages)):
            raise too_many_open()
        if status == 0 and not messages:  # after a signal the status is 0 as well, but QEMU names it
            return MachineEnd(exited=False, detail="triple fault of the Host kernel: the emulated CPU shut down")
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return MachineEnd(exited=False, detail=f"QEMU {how}" + (f": {messages[-1]}" if messages else ""))

    def interrupt(self) -> None:
        """Send a byte to the serial port.  A full socket has pending interrupts already."""
        with contextlib.suppress(OSError):
            self._serial.send(b"!")

    def debug_text(self) -> str:
        """The text written to the debug port."""
        with contextlib.suppress(OSError):
            while chunk := self._debug.recv(4096):
                self._text += chunk
        return self._text.decode(errors="replace")

    def stop(self) -> None:
        """Kill QEMU and wait for it; the memory stays mapped here."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._end = self._end or MachineEnd(exited=False, detail="closed")

    def touched(self) -> tuple[tuple[int, int], ...]:
        """What the file has no holes for."""
        return self._ram.touched()

    def close(self) -> None:
        """Stop QEMU and release the resources."""
        self.stop()
        for each in (self._doorbell, self._serial, self._debug):
            each.close()
        for each in (self._qemu_doorbell, self._qemu_serial, self._qemu_debug):
            each.close()
        self._errors.close()
        with contextlib.suppress(BufferError):  # the memory is unmapped when its last view is released
            self.memory.release()
            self._ram.map.close()
        self._ram.close()
