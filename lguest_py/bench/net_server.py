# SPDX-License-Identifier: GPL-2.0-or-later
"""The Host's end of the measurements of a network: python -m lguest_py.bench.net_server

It listens at a free port of 127.0.0.1, prints it, and ends with its standard input.  A connection's first byte
chooses:
"s": each CHUNK bytes are answered with one; "r": each byte is answered with CHUNK bytes.  Datagrams are sent back.
Read next: guest_kernel/linux/devices/net.c, the Guest's end.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

CHUNK = 1 << 20
TRIES = 100


def serve(connection: socket.socket) -> None:
    """One measurement."""
    buffer = memoryview(bytearray(CHUNK))
    with connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kind = connection.recv(1)
        while kind == b"r" and connection.recv(1):
            connection.sendall(buffer)
        left = CHUNK
        while kind == b"s" and (count := connection.recv_into(buffer)):
            left -= count
            if left == 0:
                connection.sendall(b"k")
                left = CHUNK


def accept(listener: socket.socket) -> None:
    """Serve each connection in a thread."""
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def echo(datagrams: socket.socket) -> None:
    """Send datagrams back."""
    while True:
        data, back = datagrams.recvfrom(1 << 16)
        datagrams.sendto(data, back)


def sockets() -> tuple[socket.socket, socket.socket]:
    """TCP and UDP at the same port, which is free in both."""
    for _ in range(TRIES):
        listener = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(type=socket.SOCK_DGRAM)
        try:
            datagrams.bind(listener.getsockname())
        except OSError:
            listener.close()
            datagrams.close()
            continue
        return listener, datagrams
    raise OSError(f"no port is free for both TCP and UDP, in {TRIES} tries")


def main() -> None:
    """Serve until the standard input ends."""
    listener, datagrams = sockets()
    for target, sock in ((accept, listener), (echo, datagrams)):
        threading.Thread(target=target, args=(sock,), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
