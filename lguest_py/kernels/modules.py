# SPDX-License-Identifier: GPL-2.0-or-later
"""Some of a kernel's modules for an initrd: those named and what they depend on, so that ``modprobe`` finds them there.

What a module depends on stands in the module itself, so no depmod need have run: a kernel's package has no modules.dep.
Source: modules.dep(5), modinfo(8).  Read next: lguest_py/kernels/mkinitrd.py, lguest_py/cli/mkinitrd.py.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import stat
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lguest_py.errors import ImageError
from lguest_py.files.inputs import printable
from lguest_py.kernels.mkinitrd import Entry, Tree

# For the devices that a Guest can be given, and a disk's usual file system.
DRIVERS = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "9p", "9pnet_virtio", "ext4"),
    "vmw_vsock_virtio_transport",
)
UNPACKERS = {"": lambda data: data, ".xz": lzma.decompress, ".gz": gzip.decompress}


def _canonical(name: str) -> str:
    """A module's name with "_" for "-", which the kernel takes as equal."""
    return name.replace("-", "_")


def _module_in(path: str) -> tuple[str, str] | None:
    """The name and the packing of the module in a file; None if it is not a module's."""
    match = re.fullmatch(r"(.+)\.ko((?:\.\w+)?)", os.path.basename(path))
    return (_canonical(match[1]), match[2]) if match else None


@dataclass(frozen=True)
class Module:
    """A module: its path below the release's directory, unpacked, its bytes, and its .modinfo."""

    path: str
    data: bytes
    about: list[tuple[str, str]]

    def values(self, key: str) -> list[str]:
        """All values of ``key``."""
        return [value for name, value in self.about if name == key]

    @property
    def depends(self) -> list[str]:
        """The names of the modules that must be loaded before it."""
        return [_canonical(name) for text in self.values("depends") for name in text.split(",") if name]

    @property
    def softdeps(self) -> list[str]:
        """The names or aliases of modules to load before it if they exist (softdep pre)."""
        texts = [text.partition("post:")[0] for text in self.values("softdep")]
        return [word for text in texts for word in text.split() if word != "pre:"]


class Modules:
    """The modules in ``directory``, which is named after the kernel's release, as those in /lib/modules are."""

    def __init__(self, directory: str) -> None:
        self._root = Path(directory)
        self.release = self._root.resolve().name
        self._files = {}
        for folder, _, files in os.walk(self._root / "kernel"):
            for file in files:
                if found := _module_in(file):
                    self._files[found[0]] = os.path.relpath(os.path.join(folder, file), self._root)
        if not self._files:
            raise ImageError(
                f"{printable(directory)} has no modules in it: give one kernel's, as /lib/modules/RELEASE is"
            )
        self._built_in = {found[0] for line in self._lines("modules.builtin") if (found := _module_in(line))}
        records = [word for line in self._lines("modules.builtin.modinfo") for word in line.split("\0")]
        self._built_in_aliases = {word.partition(".alias=")[2] for word in records} - {""}

    def _lines(self, name: str) -> list[str]:
        try:
            return (self._root / name).read_text(errors="replace").splitlines()
        except OSError:
            return []

    def _bytes(self, name: str) -> tuple[str, bytes]:
        """A module by its plain name: its path as if it were unpacked, and what it is then.  Raises ImageError."""
        path = self._files[name]
        packing = path.rpartition(".ko")[2]
        shown = printable(str(self._root / path))
        if packing not in UNPACKERS:
            raise ImageError(f"{shown} is packed as {packing}, which is not known here: unpack it")
        try:
            return path.removesuffix(packing), UNPACKERS[packing]((self._root / path).read_bytes())
        except (lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile):
            raise ImageError(f"{shown} is damaged: get the kernel's modules anew") from None
        except OSError as error:
            raise ImageError(f"{shown} cannot be read ({error.strerror}): make it readable") from None

    def _read(self, name: str) -> Module:
        path, data = self._bytes(name)
        return Module(path, data, _about(data, printable(str(self._root / path))))

    def _is_built_in(self, word: str) -> bool:
        name = _canonical(word)
        return name not in self._files and (name in self._built_in or word in self._built_in_aliases)

    def _resolve(self, word: str) -> list[str]:
        """The plain names of the modules that ``word`` names, as a name or else as an alias without wildcards."""
        if _canonical(word) in self._files:
            return [_canonical(word)]
        if self._is_built_in(word):
            return []
        return self._aliases.get(word, [])

    @cached_property
    def _aliases(self) -> dict[str, list[str]]:
        """The plain names of the modules by alias: as depmod wrote them down, or else from all the modules."""
        aliases: dict[str, list[str]] = {}
        lines = [line.split() for line in self._lines("modules.alias")]
        pairs = [(words[1], _canonical(words[2])) for words in lines if len(words) == 3 and words[0] == "alias"]
        if not lines:
            for name in sorted(self._files):
                with suppress(ImageError):  # it is records when it is wanted
                    found = re.findall(rb"\0alias=([^\0]+)", self._bytes(name)[1])
                    pairs += [(os.fsdecode(word), name) for word in found]
        for alias, name in pairs:
            if name in self._files:
                aliases.setdefault(alias, []).append(name)
        return aliases

    def choose(self, names: list[str]) -> tuple[dict[str, Module], list[str]]:
        """The modules ``names`` and all that they depend on, by their names; and which of ``names`` are built in.

        Raises ImageError.
        """
        chosen: dict[str, Module] = {}
        wanted: list[str] = []
        built_in: list[str] = []
        for name in names:
            found = self._resolve(name)
            wanted += found
            if self._is_built_in(name):
                built_in.append(name)
            elif not found:
                raise ImageError(f"{printable(self.release)} has no module {name!r}{self._similar(name)}")
        while wanted:
            name = wanted.pop()
            if name in chosen or self._is_built_in(name):
                continue
            if name not in self._files:
                raise ImageError(
                    f"{printable(self.release)} lacks the module {printable(name)}, which another needs: "
                    "get its modules anew"
                )
            chosen[name] = module = self._read(name)
            wanted += module.depends
            wanted += [found for wish in module.softdeps for found in self._resolve(wish)]
        return chosen, built_in

    @property
    def drivers(self) -> list[str]:
        """Those of DRIVERS that this kernel has as modules."""
        return [name for name in DRIVERS if name in self._files]

    def _similar(self, name: str) -> str:
        import difflib

        close = difflib.get_close_matches(_canonical(name), self._files, 3)
        return f": did you mean {' or '.join(close)}?" if close else ": give a module's name, as modprobe takes it"

    def tree(self, chosen: dict[str, Module]) -> Tree:
        """They below /lib/modules, and the tables by which modprobe finds them."""
        top = f"lib/modules/{self.release}"
        texts = {"modules.builtin": "".join(line + "\n" for line in self._lines("modules.builtin")), **_tables(chosen)}
        files = {f"{top}/{name}": Entry(stat.S_IFREG | 0o644, text.encode) for name, text in texts.items()}
        for module in chosen.values():
            files[f"{top}/{module.path}"] = Entry(stat.S_IFREG | 0o644, lambda data=module.data: data)  # type: ignore[misc]
        folders = {str(folder) for name in files for folder in Path(name).parents if folder.name}
        return {**{folder: Entry(stat.S_IFDIR | 0o755) for folder in folders}, **files}


def _about(data: bytes, shown: str) -> list[tuple[str, str]]:
    """The "key=value" of a module's section .modinfo.  Raises ImageError."""
    from elftools.elf.elffile import ELFFile

    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(".modinfo")
        words = section.data().split(b"\0") if section else None
    except Exception:  # pyelftools reports what is malformed in many ways
        words = None
    if words is None:
        raise ImageError(f"{shown} is not a module: get the kernel's modules anew")
    pairs = [word.decode(errors="replace").partition("=") for word in words if word]
    return [(key, value) for key, _, value in pairs]


def _tables(chosen: dict[str, Module]) -> dict[str, str]:
    """modules.dep and modules.alias, as depmod would write them for these modules alone."""

    def load(name: str, order: list[str]) -> list[str]:
        """Append to ``order`` what is to be loaded for ``name``, itself at the end."""
        seen.add(name)
        for each in chosen[name].depends:
            if each in chosen and each not in seen:
                load(each, order)
        order.append(name)
        return order

    seen: set[str] = set()
    dep, alias = [], []
    for name, module in sorted(chosen.items()):
        seen.clear()
        before = reversed(load(name, [])[:-1])  # modprobe begins with the last
        dep.append(" ".join([f"{module.path}:", *(chosen[each].path for each in before)]))
        alias += [f"alias {pattern} {name}" for pattern in module.values("alias")]
    return {"modules.dep": "\n".join([*dep, ""]), "modules.alias": "\n".join([*alias, ""])}
