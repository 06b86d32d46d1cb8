# SPDX-License-Identifier: GPL-2.0-or-later
"""Random files for each parser of the Launcher: good ones with some bytes changed, reproducible by kind and seed.

A parser either takes a file or raises a LguestError of one line, in bounded time and memory.  Whatever else happens is
a failure: it is printed with its kind and seed, and with as few of its changes as are needed.  ``python
tests/lab/fuzz/image_fuzz.py KIND SEED`` makes a case again (with tests/lab and its folders in PYTHONPATH).
Read next: image_kinds.py, the files and the parsers.
"""

from __future__ import annotations

import random
import resource
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shrink import fewest

from lguest_py.errors import LguestError

CPU_SECONDS = 30  # of a case, which takes a thousandth: more is a loop
MEMORY = 1 << 30  # beyond what the process has: twice what a kernel may unpack to
SHRINKING = 200  # runs
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


@dataclass(frozen=True)
class Kind:
    """Files of one format, and what reads them."""

    plain: bytes  # a good one,
    pack: Callable[[bytes], bytes]  # packed so
    read: Callable[[Path, bytes, random.Random], None]  # the file and its bytes; raises LguestError or nothing
    fields: Sequence[range] = ()  # where a change tells most, in the packed file
    words: Sequence[bytes] = ()  # what may be put in
    suffix: str = ""
    tokens: Sequence[range] = ()  # of a text: what is replaced as a whole, by words or each other


@dataclass(frozen=True)
class Edit:
    """A change: ``gone`` bytes at a place are replaced by ``data``, in what is packed (``inner``) or in the file."""

    inner: bool
    at: int
    gone: int
    data: bytes


class TooLong(BaseException):
    """A case takes more CPU time than any needs.  No parser may catch it."""


def edits(kind: Kind, chance: random.Random) -> list[Edit]:
    """Some changes of a file of this kind."""
    packed = kind.pack(kind.plain)
    if kind.tokens and chance.random() < 0.8:
        return [_replacement(kind, chance) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    return [_edit(kind, packed, chance) for _ in range(chance.randint(1, 6))]


def _replacement(kind: Kind, chance: random.Random) -> Edit:
    token, other = chance.choice(kind.tokens), chance.choice(kind.tokens)
    data = chance.choice((chance.choice(kind.words), kind.plain[other.start : other.stop]))
    return Edit(False, token.start, len(token), data)


def _edit(kind: Kind, packed: bytes, chance: random.Random) -> Edit:
    inner = packed != kind.plain and chance.random() < 0.4
    length = len(kind.plain if inner else packed)
    spans = [range(min(length, 0x100)), range(length), *(() if inner else kind.fields)]
    at = chance.choice(chance.choice(spans))
    if kind.words and chance.random() < 0.5:
        return Edit(inner, at, chance.choice((0, 0, 1, 8)), chance.choice(kind.words))
    how = chance.randrange(8)
    if how < 3:
        width = chance.choice((1, 2, 4))
        value = chance.choice((*NUMBERS, length, chance.getrandbits(32)))
        data = struct.pack(chance.choice("<>") + "I", value)
        return Edit(inner, at - at % width, width, data[:width])
    if how < 6:
        data = chance.randbytes(chance.choice((1, 1, 4, 16)))
        return Edit(inner, at, len(data), data)
    if how == 6:
        return Edit(inner, at, chance.choice((1, 4, length)), b"")  # removed, or cut off here
    return Edit(inner, at, 0, chance.choice((bytes(16), chance.randbytes(8), packed[:64])))


def made(kind: Kind, changes: Sequence[Edit]) -> bytes:
    """The file."""
    plain, packed = kind.plain, b""
    for inner in (True, False):
        data = bytearray(plain if inner else packed)
        for edit in sorted(changes, key=lambda edit: edit.at, reverse=True):  # so that no place moves
            if edit.inner is inner:
                data[edit.at : edit.at + edit.gone] = edit.data
        plain, packed = (bytes(data), kind.pack(bytes(data))) if inner else (plain, bytes(data))
    return packed


@contextmanager
def bounded() -> Iterator[None]:
    """Neither time nor memory without end."""

    def stop(*_: object) -> None:
        raise TooLong

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    old = signal.signal(signal.SIGVTALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(kind: Kind, data: bytes, seed: object, folder: Path) -> tuple[bool, str]:
    """Whether the file was read, and what is wrong with how it was answered ("": nothing)."""
    path = folder / f"image{kind.suffix}"
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        kind.read(path, data, random.Random(f"read {seed}"))
    except LguestError as error:
        text = str(error)
        return False, "" if text.isprintable() and text else f"not one line: {text!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return False, f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return True, ""


@dataclass(frozen=True)
class Failure:
    """What a file did, and the changes that are left of it."""

    kind: str
    seed: int
    why: str
    changes: Sequence[Edit]

    def __str__(self) -> str:
        return f"{self.kind}, seed {self.seed}: {self.why}; by {list(self.changes)}"


def fuzz(name: str, kind: Kind, seeds: Sequence[int], folder: Path) -> tuple[int, Failure | None]:
    """How many of the files were read, until the first failure."""
    read = 0
    with bounded():
        for seed in seeds:
            changes = edits(kind, random.Random(f"{name} {seed}"))
            good, why = outcome(kind, made(kind, changes), seed, folder)
            if why:
                return read, shrunk(name, kind, seed, why, changes, folder)
            read += good
    return read, None


def shrunk(name: str, kind: Kind, seed: int, why: str, changes: Sequence[Edit], folder: Path) -> Failure:
    """The failure with as few and as small changes as still lead to an error of its class."""

    def fails(tried: Sequence[Edit]) -> bool:
        return outcome(kind, made(kind, tried), seed, folder)[1].split(":")[0] == why.split(":")[0]

    kept = fewest(changes, fails, SHRINKING)
    for number, edit in enumerate(kept):
        for size in (0, *(1 << n for n in range(len(edit.data).bit_length()))):
            gone = size if edit.gone == len(edit.data) else edit.gone
            tried = [*kept[:number], Edit(edit.inner, edit.at, gone, edit.data[:size]), *kept[number + 1 :]]
            if fails(tried):
                kept = tried
                break
    return Failure(name, seed, outcome(kind, made(kind, kept), seed, folder)[1], kept)


if __name__ == "__main__":
    import sys
    import tempfile

    from image_kinds import KINDS

    with tempfile.TemporaryDirectory() as place:
        print(fuzz(sys.argv[1], KINDS[sys.argv[1]], [int(sys.argv[2])], Path(place))[1] or "nothing is wrong")
