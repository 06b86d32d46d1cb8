# SPDX-License-Identifier: GPL-2.0-or-later
"""The file for a bug report that ``lguest-py doctor --self-test`` writes: a tar.gz of small texts.

It has diagnosis.json; for each engine the Guest's console and its end; the processor's description; and KVM's
parameters, capabilities and self-test.  Host name, user name and home directory are removed from every text.

Read next: diagnosis.py, whose result it stores.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import platform
import re
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from lguest_py.doctor.diagnosis import Diagnosis, cpuinfo
from lguest_py.errors import LguestError
from lguest_py.files.descriptors import check
from lguest_py.launcher import report

NAME = "lguest-py-self-test"
GENERIC_NAMES = ("root", "user", "localhost", "debian", "ubuntu", "fedora", "runner")  # names that identify nobody


def scrubber(user: str, host: str, home: str) -> Callable[[str], str]:
    """A function that replaces these names in a text."""
    patterns = []
    if len(home) > 1:
        patterns.append((re.compile(re.escape(home.rstrip("/")) + r"(?![\w.-])"), "~"))
    for name, instead in ((user, "<user>"), (host, "<host>"), (host.partition(".")[0], "<host>")):
        if name and name not in GENERIC_NAMES:
            patterns.append((re.compile(rf"(?<!\w){re.escape(name)}(?!\w)"), instead))

    def scrub(text: str) -> str:
        for pattern, instead in patterns:
            text = pattern.sub(instead, text)
        return text

    return scrub


def own_scrubber() -> Callable[[str], str]:
    """The scrubber for the current user on this machine."""
    user = home = ""
    with contextlib.suppress(OSError, KeyError, RuntimeError):
        home = str(Path.home())
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
    return scrubber(user, platform.node(), home)


def _values(data: Any, change: Callable[[str], str]) -> Any:
    """``data`` with ``change`` applied to every string but keys."""
    match data:
        case str():
            return change(data)
        case dict():
            return {key: _values(value, change) for key, value in data.items()}
        case list() | tuple():
            return [_values(value, change) for value in data]
    return data


def kvm_text() -> str:
    """KVM's parameters and capabilities, and the result of the self-test."""
    lines = []
    for file in sorted(Path("/sys/module").glob("kvm*/parameters/*")):
        with contextlib.suppress(OSError):
            lines.append(f"{file.parent.parent.name}.{file.name} = {file.read_text(errors='replace').strip()}")
    try:
        from lguest_py.kvm import Kvm, KvmError, ioctls, selftest
    except ImportError as error:
        return "\n".join([*lines, f"no binding: {error}", ""])
    try:
        with Kvm() as kvm:
            lines.append(f"API version {kvm.api_version()}")
            for name in sorted(ioctls.capabilities()):
                if value := kvm.check_extension(name):
                    lines.append(f"{name} = {value}")
            result = selftest.run(kvm)
            lines += [f"self-test: {result.failed or 'passed'}", f"results {[hex(value) for value in result.results]}"]
            lines += [repr(result.end), repr(result.registers)]
    except KvmError as error:
        lines.append(str(error))
    return "\n".join([*lines, ""])


def texts(diagnosis: Diagnosis, scrub: Callable[[str], str]) -> dict[str, str]:
    """The bundle's files: name -> text."""
    data = _values(diagnosis.as_dict(), scrub)
    files = {"diagnosis.json": json.dumps(data, indent=1) + "\n"}
    others = {"cpuinfo.txt": cpuinfo()}
    if diagnosis.system["system"] == "Linux":
        others["kvm.txt"] = kvm_text()
    for trial in diagnosis.trials:
        others[f"{trial.engine}-console.txt"] = trial.console
        if trial.result:
            headline = f"{report.headline(trial.result)}\n"
            others[f"{trial.engine}-end.txt"] = headline + report.death(trial.result) + report.statistics(trial.result)
    return files | {name: scrub(text) for name, text in others.items()}


def _open(directory: Path) -> IO[bytes]:
    """Create a file with an unused name.  Raises LguestError."""
    number = 1
    while True:
        path = directory / f"{NAME}{f'-{number}' if number > 1 else ''}.tar.gz"
        try:
            return path.open("xb")
        except FileExistsError:
            number += 1
        except OSError as error:
            check(error)
            raise LguestError(f"{path} cannot be written ({error.strerror}): go where you may write") from None


def write(diagnosis: Diagnosis, directory: Path = Path()) -> Path:
    """Write the bundle into ``directory``; returns its path.  Raises LguestError when that fails."""
    file = _open(directory)
    path = Path(file.name)
    try:
        with file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, text in texts(diagnosis, own_scrubber()).items():
                content = text.encode(errors="backslashreplace")
                entry = tarfile.TarInfo(f"{NAME}/{name}")  # owner 0, without names
                entry.size, entry.mtime = len(content), int(time.time())
                tar.addfile(entry, io.BytesIO(content))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        check(error)
        raise LguestError(f"{path} cannot be written ({error.strerror}): make room, or go elsewhere") from None
    return path
