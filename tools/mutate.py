# SPDX-License-Identifier: GPL-2.0-or-later
"""Break one protection at a time and see a test fail: ``python tools/mutate.py [--engine ENGINE] [NAME …]``.

tools/mutants/*.toml name the protections: what to change in which file, and the test that must fail then.  Each is
tried in a copy of the tree.  Prints a line for each; the exit status is 1 where one survived, that is, where the
protection could be removed and no test would tell.  ``--list`` prints the names.
Read next: tools/mutants/switcher.toml, tests/tools/test_mutants.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "tools" / "mutants"
NOT_COPIED = (".git", ".venv", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
LONGEST_TEST = 120  # seconds
SECONDS = 900  # for a mutant's build and test: one that hangs the Guest fails its test by the test's own limit
PASSED, FAILED = 0, 1  # pytest's exit status
KILLED, SURVIVED, UNTRIED = "killed", "survived", "not tried"


class MutantError(Exception):
    """A line of the lists is wrong: one line that says which and why."""


@dataclass(frozen=True)
class Mutant:
    """A protection, removed: ``pattern`` stands once in ``file``; ``test`` (as pytest takes it) fails without it."""

    name: str
    file: str
    pattern: str
    replacement: str
    test: str
    keyword: str = ""  # pytest's -k
    image: str = "host_kernel"  # what is built again for it, where it is not in Python

    def applied(self, text: str) -> str:
        """The file's text with the change.  Raises MutantError where the pattern does not stand there once."""
        if (count := text.count(self.pattern)) != 1:
            raise MutantError(
                f"{self.name}: its pattern stands {count} times in {self.file}, and must stand there once"
            )
        return text.replace(self.pattern, self.replacement)


def mutants(folder: Path = LISTS) -> list[Mutant]:
    """All of the lists.  Raises MutantError."""
    found: dict[str, Mutant] = {}
    for file in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(file.read_text())["mutant"]:
            try:
                mutant = Mutant(**entry)
            except TypeError as error:
                raise MutantError(f"{file.name}: {entry.get('name', 'an entry without name')}: {error}") from None
            if mutant.name in found:
                raise MutantError(f"{file.name}: {mutant.name} is there twice")
            found[mutant.name] = mutant
    return list(found.values())


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A copy with what was built already, so that only what a mutant changes is built again."""
    with tempfile.TemporaryDirectory(prefix="lguest-py-mutants-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        yield copy


def _run(copy: Path, *command: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS,
    )  # fmt: skip
    return done.returncode, done.stdout


def build(copy: Path, image: str) -> None:
    """Build what changed.  Raises MutantError with the compiler's words."""
    status, said = _run(copy, "tools/build_images.py", image)
    if status:
        raise MutantError("it does not build:\n" + said)


def test_fails(copy: Path, mutant: Mutant, engine: str) -> bool:
    """Whether the test fails in the copy.  Raises MutantError where it could not be run."""
    keyword = ["-k", mutant.keyword] if mutant.keyword else []
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--engines={engine}", "--nightly", "--as-built"]
    options.append(f"--timeout={LONGEST_TEST}")
    status, said = _run(copy, "-m", "pytest", *options, *keyword, *mutant.test.split())
    if status not in (PASSED, FAILED):
        raise MutantError(f"{mutant.name}: pytest ended with {status}:\n{said}")
    return status == FAILED


def survives(copy: Path, mutant: Mutant, engine: str) -> bool:
    """Whether nothing fails without this protection.  The copy is as before at the end.  Raises MutantError."""
    file = copy / mutant.file
    text = file.read_text()
    file.write_text(mutant.applied(text))
    try:
        if file.suffix != ".py":
            build(copy, mutant.image)
        return not test_fails(copy, mutant, engine)
    except (MutantError, subprocess.TimeoutExpired) as error:
        raise MutantError(f"{mutant.name}: {error}") from None
    finally:
        file.write_text(text)


def tried(copy: Path, mutant: Mutant, engine: str) -> str:
    """What became of it, which is printed too: KILLED, SURVIVED or UNTRIED."""
    before, why = time.monotonic(), ""
    try:
        outcome = SURVIVED if survives(copy, mutant, engine) else KILLED
    except MutantError as error:
        outcome, why = UNTRIED, f": {error}"
    print(f"{mutant.name}: {outcome} ({time.monotonic() - before:.0f} s){why}", flush=True)
    return outcome


def chosen(names: Sequence[str]) -> list[Mutant]:
    """The mutants of these names, in this order; all without one.  Raises MutantError for a name that there is not."""
    known = {mutant.name: mutant for mutant in mutants()}
    if unknown := [name for name in names if name not in known]:
        raise MutantError(f"there is no mutant {', '.join(unknown)}: --list shows them")
    return [known[name] for name in names] or list(known.values())


def main(arguments: list[str]) -> int:
    """The command line; its exit status."""
    parser = argparse.ArgumentParser(description="Break one protection at a time and see a test fail.")
    parser.add_argument("--engine", choices=("tcg", "kvm"), default="tcg", help="what the tests run on (tcg)")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("name", nargs="*", metavar="NAME", help="the protections to break (all)")
    options = parser.parse_args(arguments)
    try:
        selected = chosen(options.name)
        if options.list:
            print(*(f"{mutant.name}: {mutant.file}" for mutant in selected), sep="\n")
            return 0
        with copy_of_the_tree() as copy:
            outcomes = Counter(tried(copy, mutant, options.engine) for mutant in selected)
    except MutantError as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2
    print(f"{len(selected)} mutants: {', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}")
    return 2 if outcomes[UNTRIED] else 1 if outcomes[SURVIVED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
