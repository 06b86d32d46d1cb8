# SPDX-License-Identifier: GPL-2.0-or-later
"""A link over a tap device of the Host's kernel.

The kernel has the same frame headers as virtio, so a frame with its header goes from the Guest's buffers to the kernel
and back in one system call, and segmentation and checksums that one side left out stay left out.
Read next: interfaces.py, its system calls; __init__.py, which makes taps.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Sequence

from lguest_py.networks import interfaces
from lguest_py.networks.link import ETHERNET, LONGEST, MOST_PIECES, LinkGone, Offload, Pieces

_VLAN = 4  # bytes of a tag in a frame
_GONE = (errno.EBADFD, errno.ENODEV, errno.EBADF)
_FLAGS = (
    (Offload.CHECKSUM, interfaces.TUN_F_CSUM),
    (Offload.TCP4, interfaces.TUN_F_TSO4),
    (Offload.TCP6, interfaces.TUN_F_TSO6),
    (Offload.ECN, interfaces.TUN_F_TSO_ECN),
)


class Tap:
    """The tap ``name``, attached to by ``fd``, which it owns."""

    headers = True
    offloads = Offload.CHECKSUM | Offload.TCP4 | Offload.TCP6 | Offload.ECN
    verified = False
    unsent: Pieces = ()

    def __init__(self, fd: int, name: str, mac: bytes) -> None:
        self._fd = fd
        self.name, self.mac = name, mac
        self.mtu = interfaces.mtu(name)
        self.refused = 0  # frames that the kernel did not take
        self._rest = memoryview(bytearray(LONGEST))  # of a frame that is longer than it may be
        self._longest = 0
        self.configure(10, Offload.NONE)

    def fileno(self) -> int:
        """See Link."""
        return self._fd

    def set_mtu(self, size: int) -> None:
        """Set the tap's largest packet.  Raises OSError."""
        interfaces.set_mtu(self.name, size)
        self.mtu = size

    def configure(self, header_bytes: int, wanted: Offload) -> None:
        """See Link."""
        flags = sum(flag for offload, flag in _FLAGS if offload in wanted)
        try:
            fcntl.ioctl(self._fd, interfaces.TUNSETVNETHDRSZ, struct.pack("<i", header_bytes))
            fcntl.ioctl(self._fd, interfaces.TUNSETOFFLOAD, flags)
        except OSError as error:
            raise LinkGone(os.strerror(error.errno or 0)) from None
        whole = wanted & (Offload.TCP4 | Offload.TCP6)
        self._longest = LONGEST if whole else min(self.mtu + ETHERNET + _VLAN, LONGEST)

    def waiting(self) -> int:
        """See Link; only the kernel knows the size, and whether there is a frame."""
        return self._longest

    def receive(self, pieces: Pieces) -> int:
        """See Link."""
        try:
            return os.readv(self._fd, [*pieces, self._rest])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkGone(os.strerror(error.errno or 0)) from None

    def skip(self) -> bool:
        """See Link."""
        return self.receive(()) > 0

    def send(self, frames: Sequence[Pieces]) -> int:
        """See Link.  A frame that the kernel refuses (a header that makes no sense, a tap that is down) is dropped."""
        for number, pieces in enumerate(frames):
            if len(pieces) > MOST_PIECES:
                pieces = (memoryview(b"".join(pieces)),)
            try:
                os.writev(self._fd, pieces)
            except BlockingIOError:
                return number
            except OSError as error:
                if error.errno in _GONE:
                    raise LinkGone(os.strerror(error.errno)) from None
                self.refused += 1
        return len(frames)

    def abandon(self) -> None:
        """See Link; a frame is sent as a whole."""

    def close(self) -> None:
        """See Link.  A tap that is not persistent vanishes."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
