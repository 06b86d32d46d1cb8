# SPDX-License-Identifier: GPL-2.0-or-later
"""What the labs' tests have in common: build what the student changed, boot it, and say in words what is missing.

By hand it builds the Guest of a lab: ``python labs/exercise.py 1`` prints the file to boot.
Read next: labs/README.md; tools/build_images.py, which builds.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

ROOT = Path(__file__).resolve().parent.parent
LABS = ROOT / "labs"
SECONDS = 120  # for a Guest that ends by itself in less than one; a machine may be busy

for folder in (ROOT, ROOT / "tools"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import build_images  # noqa: E402
from toolchain import BuildError  # noqa: E402

from lguest_py.launcher.result import End, Result  # noqa: E402

if TYPE_CHECKING:  # a lab may change what it imports
    from lguest_py import Machine

Boot = Callable[..., "Machine"]  # the fixture lguest
TREE = ("host_kernel", "reset", "guest", "guest_boot")  # the images that a lab's tree is made of


def not_yet(message: str) -> NoReturn:
    """End the test: what is missing, without a traceback."""
    import pytest

    raise pytest.fail.Exception(f"not yet: {message}", pytrace=False) from None


def compiled(work: Callable[[], object]) -> None:
    """Do some work of the compiler; what it finds wrong is all that the student sees."""
    try:
        work()
    except BuildError as error:
        not_yet(f"it does not compile.\n{error}")
    except OSError as error:
        not_yet(f"nothing can be written to the folder build here: {error}")


def apply_patch(tree: Path, patch: Path, *options: str) -> str:
    """Apply a patch to a tree, which need not be git's.  Returns "", or why it does not apply."""
    import os
    import subprocess

    outside = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.resolve().parent)}
    command = ["git", "apply", "--whitespace=nowarn", *options, str(patch.resolve())]
    done = subprocess.run(command, cwd=tree, env=outside, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@functools.cache
def build_tree() -> None:
    """The Host kernel and the tiny Guest, as they stand in the sources: before any boot, which reads them once."""
    images = tuple(image for image in build_images.IMAGES if image.name in TREE)
    compiled(build_images.Builder(images=images).all)


def build_guest(lab: str, file: str = "") -> Path:
    """The small Guest of a lab: all its C and assembly, or that one ``file``.  Returns the ELF.  Raises BuildError."""
    own = f"labs/{lab}/{file or '*.[cS]'}"
    name = f"lab-{lab[:2]}"
    image = build_images.Image(name, ("labs/small/*.[cS]", own), "labs/small/small.ld")
    builder = build_images.Builder(images=(image,))
    builder.all()
    return builder.build / name / f"{name}.elf"


def boot_guest(lguest: Boot, lab: str, file: str = "", **options: object) -> tuple[str, Result]:
    """Build it, boot it, and wait for its end: its console, and how it ended."""
    built: list[Path] = []
    compiled(lambda: built.append(build_guest(lab, file)))
    return run(lguest, built[0], **options)


def run(lguest: Boot, image: Path | None, **options: object) -> tuple[str, Result]:
    """Boot and wait for the end: the console, and how it ended."""
    build_tree()
    guest = lguest(image, **{"memory": "16M", "timeout": SECONDS, **options})
    result = guest.wait()
    if result.outcome.end is End.TIME_LIMIT:
        not_yet("the Guest was ended by the time limit: it waits for something that never comes, or loops")
    return guest.console.output, result


def end_of(result: Result) -> str:
    """How it ended, in one line."""
    from lguest_py.launcher.report import headline

    return headline(result)


def told(error: BaseException) -> str:
    """An exception in one line: what it says, and the line of the sources that raised it."""
    import traceback

    at = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).is_relative_to(ROOT / "lguest_py"):
            at = f", at line {frame.lineno} of {Path(frame.filename).relative_to(ROOT)}"
    return f"{type(error).__name__}: {error}{at}"


def must_power_off(result: Result) -> None:
    """The Guest reached its end, and was not ended."""
    if result.outcome.end is not End.POWERED_OFF:
        not_yet(f"the Guest should power off, but: {end_of(result)}")


def number_after(output: str, words: str) -> int:
    """The number behind these words on the console."""
    found = re.search(re.escape(words) + r"\s*(\d+)", output)
    if not found:
        not_yet(f"the Guest prints no line with {words!r}: see its console below")
    return int(found[1])


def must_answer(output: str, question: str, otherwise: str) -> None:
    """The Guest answered ``question`` with yes; ``otherwise`` is what to think about."""
    if f"{question}: no" in output:
        not_yet(f'"{question}": no. {otherwise}')
    if f"{question}: yes" not in output:
        not_yet(f'the Guest ended before it could tell whether "{question}": see its console below')


def main(arguments: list[str]) -> int:
    """Build the Guest of the lab of this number, and print its file."""
    import argparse

    parser = argparse.ArgumentParser(description="Build the Guest of a lab, and print the file to boot.")
    numbers = {int(each.name[:2]): each.name for each in LABS.glob("[0-9][0-9]-*") if list(each.glob("*.[cS]"))}
    parser.add_argument("lab", type=int, choices=sorted(numbers), help="the lab's number")
    try:
        print(build_guest(numbers[parser.parse_args(arguments).lab]).relative_to(ROOT))
    except (BuildError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
