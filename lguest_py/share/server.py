# SPDX-License-Identifier: GPL-2.0-or-later
"""The server: takes a request, answers it.  What a Guest asks wrongly is answered by an error number (Rlerror).

``answer`` gets the pieces of memory that have the request, and those for the reply.  Each byte of the request is read
once, because the Guest can change it meanwhile; the data of reads and writes moves between the file and these pieces.
The server has no locks: one thread at a time calls it.
Read next: session.py, which calls it; tree.py, which keeps the Guest inside the folder.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Sequence
from time import perf_counter

from lguest_py.share import attributes, names, openfiles, xattrs
from lguest_py.share.descriptors import Budget
from lguest_py.share.directories import Listings
from lguest_py.share.fids import Fid, Fids
from lguest_py.share.qids import qid_of
from lguest_py.share.tree import Tree
from lguest_py.share.wire import (
    FIELDS,
    HEADER,
    IO_HEADER,
    NO_FID,
    REQUESTS,
    RLERROR,
    STRING,
    WRITE_HEADER,
    T,
    first,
    gather,
    refused,
    skip,
    spread,
    string,
)

LONG = 0.004  # seconds of a write after which the next is one that can wait
MOST, LEAST = 1 << 20, 4096  # bytes of a message
VERSION = b"9P2000.L"
_UNLOCKED = 2
_IO_OVERHEAD = 24  # what a message has besides data: the protocol's own constant
_COUNT = struct.Struct("<I")
_OPENED = struct.Struct("<13sI")
_GETLOCK = struct.Struct("<BQQI")
SHORTEST = 11  # bytes of Rlerror
_SIZE = struct.Struct("<Q")
_CHANGES = frozenset({T.LCREATE, T.SYMLINK, T.MKNOD, T.RENAME, T.SETATTR, T.XATTRCREATE, T.LINK, T.MKDIR, T.RENAMEAT,
                      T.UNLINKAT, T.WRITE})  # fmt: skip
_WAITS = frozenset({T.FSYNC})  # takes long on any file system
Pieces = Sequence[memoryview]


class ShortBuffers(Exception):
    """The pieces have no room for a request's header, or for the shortest reply."""


class Server:
    """Serves ``tree``.  ``failure`` is the first error of the Host's disk."""

    def __init__(self, tree: Tree, readonly: bool, budget: Budget) -> None:
        self._budget = budget
        self._readonly = readonly
        self.failure: OSError | None = None
        self._tree = tree
        self._fids = Fids(self._tree, self._budget)
        self._listings = Listings(self._tree, self._budget)
        self._msize = 0  # until Tversion
        self._writes_wait = False  # the last one did: the Host has more to write to its disk than it wants to keep
        handlers: dict[T, Callable[..., bytes]] = {
            T.STATFS: self._statfs,
            T.LOPEN: self._lopen,
            T.LCREATE: self._lcreate,
            T.SYMLINK: self._symlink,
            T.MKNOD: self._mknod,
            T.RENAME: self._rename,
            T.READLINK: self._readlink,
            T.GETATTR: self._getattr,
            T.SETATTR: self._setattr,
            T.XATTRWALK: self._xattrwalk,
            T.XATTRCREATE: self._xattrcreate,
            T.FSYNC: self._fsync,
            T.LOCK: self._lock,
            T.GETLOCK: self._getlock,
            T.LINK: self._link,
            T.MKDIR: self._mkdir,
            T.RENAMEAT: self._renameat,
            T.UNLINKAT: self._unlinkat,
            T.VERSION: self._version,
            T.AUTH: self._auth,
            T.ATTACH: self._attach,
            T.FLUSH: self._flush,
            T.WALK: self._walk,
            T.CLUNK: self._clunk,
            T.REMOVE: self._remove,
        }
        self._handlers = {int(kind): handler for kind, handler in handlers.items()}
        assert set(self._handlers) | {T.READ, T.WRITE, T.READDIR} == set(FIELDS)

    def close(self) -> None:
        """Close all descriptors."""
        self._fids.clear()
        self._tree.close()

    def another(self) -> Server:
        """A new one for the same folder; this one may be in use meanwhile."""
        return Server(self._tree.another(), self._readonly, self._budget)

    @property
    def in_use(self) -> bool:
        """Whether there are fids."""
        return len(self._fids) > 0

    @property
    def all_local(self) -> bool:
        """Whether no fid needs another machine, or FUSE, to be closed."""
        return all(fid.node.local for fid in self._fids)

    def reset(self) -> None:
        """As a new server."""
        self._fids.clear()
        self._msize = 0

    # A request.

    def may_wait(self, message: bytes) -> bool:
        """Whether the request that begins with ``message`` (of 11 bytes) can take longer than a local file system."""
        if len(message) < HEADER.size + _COUNT.size:
            return False
        kind = message[4]
        if kind in _WAITS or (self._writes_wait and kind == T.WRITE):
            return True
        if kind == T.VERSION:
            return not self.all_local
        if kind == T.ATTACH:
            return not self._tree.root.local
        fid = self._fids.get(_COUNT.unpack_from(message, HEADER.size)[0])
        return fid is not None and not fid.node.local

    def answer(self, readable: Pieces, writable: Pieces, at_once: bool = False) -> int:
        """Answer the request; returns how many bytes of ``writable`` were written.  Raises ShortBuffers.

        ``at_once``: raise WouldWait, and change nothing, if data must come from the disk.
        """
        room = sum(map(len, writable))
        head = gather(readable, HEADER.size)
        if len(head) < HEADER.size or room < SHORTEST:
            raise ShortBuffers
        size, kind, tag = HEADER.unpack(head)
        data = 0  # bytes that are behind the body already
        try:
            self._check(size, kind)
            if kind == T.READ:
                data = self._read(gather(readable, size), writable, room, at_once)
                body = _COUNT.pack(data)
            elif kind == T.WRITE:
                body = self._write(readable, size)
            else:
                body = self._other(kind, gather(readable, size), size, room)
            kind += 1
        except OSError as error:
            number = error.errno or errno.EIO
            if number == errno.EIO:
                self.failure = self.failure or error
            kind, data, body = RLERROR, 0, _COUNT.pack(number)
        except MemoryError:
            kind, data, body = RLERROR, 0, _COUNT.pack(errno.ENOMEM)
        size = HEADER.size + len(body) + data
        spread(HEADER.pack(size, kind, tag) + body, writable)
        return size

    def _check(self, size: int, kind: int) -> None:
        if size < HEADER.size:
            raise refused(errno.EPROTO)
        if size > (self._msize or LEAST):
            raise refused(errno.EMSGSIZE)
        if not self._msize and kind != T.VERSION:
            raise refused(errno.EPROTO)
        if self._readonly and kind in _CHANGES:
            raise refused(errno.EROFS)

    def _other(self, kind: int, message: bytes, size: int, room: int) -> bytes:
        """A request whose reply is short enough to be made here."""
        if len(message) != size:
            raise refused(errno.EPROTO)
        if kind == T.READDIR:
            return self._readdir(message, room)
        handler = self._handlers.get(kind)
        if not handler:
            raise refused(errno.EOPNOTSUPP)
        if kind == T.FSYNC and size == HEADER.size + 4:
            message += bytes(4)  # kernels up to 2.6.37 have no flag there
        body = handler(*REQUESTS[kind].read(message))
        if HEADER.size + len(body) > room:
            raise refused(errno.EMSGSIZE)
        return body

    # Data.

    def _read(self, message: bytes, writable: Pieces, room: int, at_once: bool) -> int:
        number, offset, count = REQUESTS[T.READ].read(message)
        fid = self._fids[number]
        count = min(count, room - IO_HEADER, self._msize - IO_HEADER)
        if fid.attribute:
            value = fid.attribute.read(offset, count)
            if value:
                spread(value, skip(writable, IO_HEADER))
            return len(value)
        return openfiles.read(fid, offset, first(skip(writable, IO_HEADER), count), count, at_once)

    def _write(self, readable: Pieces, size: int) -> bytes:
        head = gather(readable, WRITE_HEADER)
        number, offset, count = REQUESTS[T.WRITE].read(head)
        pieces = first(skip(readable, WRITE_HEADER), count)
        # Kernels up to 4.14 leave data that has a buffer of its own out of the size.
        if size not in (WRITE_HEADER, WRITE_HEADER + count) or sum(map(len, pieces)) != count:
            raise refused(errno.EPROTO)
        fid = self._fids[number]
        if fid.attribute:
            return _COUNT.pack(fid.attribute.write(offset, pieces))
        begun = perf_counter()
        written = openfiles.write(fid, offset, pieces)
        self._writes_wait = perf_counter() - begun > LONG
        return _COUNT.pack(written)

    def _readdir(self, message: bytes, room: int) -> bytes:
        number, offset, count = REQUESTS[T.READDIR].read(message)
        count = min(count, room - IO_HEADER, self._msize - IO_HEADER)
        fid = self._fids[number]
        self._tree.inside(fid.node)
        if not fid.listing:
            fid.listing = self._listings.begin(fid.file, fid.node, fid.parent)
        found = self._listings.read(fid.listing, offset, count)
        return _COUNT.pack(len(found)) + found

    # The session.

    def _version(self, msize: int, version: bytes) -> bytes:
        self.reset()
        if msize < LEAST:
            raise refused(errno.EMSGSIZE)
        msize = min(msize, MOST)
        if version != VERSION:
            return _COUNT.pack(msize) + string(b"unknown")
        self._msize = msize
        return _COUNT.pack(msize) + string(VERSION)

    def _auth(self, fid: int, user: bytes, tree: bytes, uid: int) -> bytes:
        raise refused(errno.EOPNOTSUPP)  # no authentication is needed

    def _attach(self, number: int, authentication: int, user: bytes, tree: bytes, uid: int) -> bytes:
        self._fids.check_new(number)
        if authentication != NO_FID:
            raise refused(errno.EINVAL)
        fid = Fid(self._tree.hold(self._tree.root), None, b"", uid)
        try:
            for name in filter(None, tree.split(b"/")):
                self._step(fid, name)
            qid = self._qid(fid)
        except OSError:
            self._fids.drop(fid)
            raise
        self._fids.add(number, fid)
        return qid

    def _step(self, fid: Fid, name: bytes) -> None:
        """One name further."""
        node = self._tree.child(fid.node, name)
        self._fids.move(fid, node, self._tree.hold(fid.node), name)

    def _qid(self, fid: Fid) -> bytes:
        return qid_of(self._tree, fid.node.status())

    def _flush(self, tag: int) -> bytes:
        return b""  # every earlier request was answered

    def _walk(self, number: int, new_number: int, path: list[bytes]) -> bytes:
        old = self._fids[number]
        if new_number != number:
            self._fids.check_new(new_number)
        elif old.is_open:
            raise refused(errno.EBUSY)
        hold = self._tree.hold
        fid = Fid(hold(old.node), old.parent and hold(old.parent), old.name, old.user)
        qids = []
        try:
            for name in path:
                self._step(fid, name)
                qids.append(self._qid(fid))
        except OSError:
            self._fids.drop(fid)
            if not qids:
                raise
            return STRING.pack(len(qids)) + b"".join(qids)  # the new fid is not made
        except BaseException:
            self._fids.drop(fid)
            raise
        if new_number == number:
            self._fids.drop(self._fids.take(number))
        self._fids.add(new_number, fid)
        return STRING.pack(len(qids)) + b"".join(qids)

    def _clunk(self, number: int) -> bytes:
        fid = self._fids.take(number)
        try:
            if fid.attribute:
                fid.attribute.set(self._tree, fid.node)
        finally:
            self._fids.drop(fid)
        return b""

    # Open files.

    def _lopen(self, number: int, flags: int) -> bytes:
        fid = self._fids[number]
        if self._readonly and openfiles.writes(flags):
            raise refused(errno.EROFS)
        openfiles.lopen(self._tree, self._fids, self._budget, fid, flags)
        return _OPENED.pack(self._qid(fid), self._iounit)

    @property
    def _iounit(self) -> int:
        return self._msize - _IO_OVERHEAD

    def _lcreate(self, number: int, name: bytes, flags: int, mode: int, gid: int) -> bytes:
        fid = self._fids[number]
        status = openfiles.lcreate(self._tree, self._fids, self._budget, fid, name, flags, mode, gid)
        return _OPENED.pack(qid_of(self._tree, status), self._iounit)

    def _fsync(self, number: int, data_only: int) -> bytes:
        openfiles.fsync(self._fids[number], data_only)
        return b""

    def _lock(self, number: int, *lock: object) -> bytes:
        """Always granted: the Guest's kernel keeps its programs apart; the Host's programs do not see its locks."""
        self._fids[number]
        return b"\0"

    def _getlock(self, number: int, kind: int, start: int, length: int, process: int, client: bytes) -> bytes:
        self._fids[number]
        return _GETLOCK.pack(_UNLOCKED, start, length, process) + string(client)

    # Attributes.

    def _statfs(self, number: int) -> bytes:
        return attributes.statfs(self._fids[number].node)

    def _getattr(self, number: int, mask: int) -> bytes:
        return attributes.getattr_(self._tree, self._fids[number].node, self._iounit)

    def _setattr(self, number: int, *values: int) -> bytes:
        attributes.setattr_(self._tree, self._fids, self._fids[number], *values)
        return b""

    def _xattrwalk(self, number: int, new_number: int, name: bytes) -> bytes:
        old = self._fids[number]
        self._fids.check_new(new_number)
        self._fids.check_attribute()
        attribute = xattrs.walk(self._tree, old.node, name)
        hold = self._tree.hold
        fid = Fid(hold(old.node), old.parent and hold(old.parent), old.name, old.user)
        self._fids.give_attribute(fid, attribute)
        self._fids.add(new_number, fid)
        return _SIZE.pack(attribute.length)

    def _xattrcreate(self, number: int, name: bytes, size: int, flags: int) -> bytes:
        fid = self._fids[number]
        if fid.is_open:
            raise refused(errno.EBADF)
        self._fids.check_attribute()
        self._fids.give_attribute(fid, xattrs.create(fid.node, name, size, flags))
        return b""

    # Names.

    def _made(self, status: os.stat_result) -> bytes:
        return qid_of(self._tree, status)

    def _mkdir(self, number: int, name: bytes, mode: int, gid: int) -> bytes:
        return self._made(names.mkdir(self._tree, self._fids[number], name, mode, gid))

    def _symlink(self, number: int, name: bytes, target: bytes, gid: int) -> bytes:
        return self._made(names.symlink(self._tree, self._fids[number], name, target, gid))

    def _mknod(self, number: int, name: bytes, mode: int, major: int, minor: int, gid: int) -> bytes:
        return self._made(names.mknod(self._tree, self._fids[number], name, mode, gid))

    def _readlink(self, number: int) -> bytes:
        return string(names.readlink(self._tree, self._fids[number].node))

    def _link(self, directory: int, number: int, name: bytes) -> bytes:
        names.link(self._tree, self._fids[directory], self._fids[number], name)
        return b""

    def _rename(self, number: int, directory: int, name: bytes) -> bytes:
        names.rename_fid(self._tree, self._fids, self._fids[number], self._fids[directory], name)
        return b""

    def _renameat(self, old: int, old_name: bytes, new: int, new_name: bytes) -> bytes:
        names.rename(self._tree, self._fids, self._fids[old], old_name, self._fids[new], new_name)
        return b""

    def _unlinkat(self, number: int, name: bytes, flags: int) -> bytes:
        names.unlink(self._tree, self._fids[number], name, flags)
        return b""

    def _remove(self, number: int) -> bytes:
        fid = self._fids.take(number)  # gone, whatever the outcome
        try:
            if self._readonly:
                raise refused(errno.EROFS)
            names.remove(self._tree, fid)
        finally:
            self._fids.drop(fid)
        return b""
