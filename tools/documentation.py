# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the documentation as HTML: ``python tools/documentation.py [--to DIR] [--base URL]``.

The book (book.html) is woven from the sources' own comments; index.html is the README, and each page of docs/ is there.
Nothing is fetched, and the same sources give the same bytes.  A gap in the book's reading order, or a link that leads
nowhere, ends it with status 1 and a line for each, and nothing is written.

Read next: tools/book/order.py, the reading order; tools/book/site.py, the pages.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

MARK = ".lguest-py-documentation"  # in a folder that this program made, and may replace
FOLDER = ROOT / "build/documentation"
DESCRIPTION = "Build the book and the pages of docs/ as HTML."
BASE = "link sources to files below this address (as .../blob/main); without it, to pages beside the book"
NAME = "tools/documentation.py"


class DocumentationError(Exception):
    """Each line is one thing that is wrong."""


def version(root: Path) -> str:
    """As lguest_py has it, without importing it: another one may be installed."""
    tree = ast.parse((root / "lguest_py/__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise DocumentationError("lguest_py/__init__.py: no __version__ there")


def pages(root: Path = ROOT, base: str | None = None) -> dict[str, bytes]:
    """Each page by its place.  Raises DocumentationError, and OSError."""
    try:
        from book.links import problems
        from book.order import BookError
        from book.site import Site
    except ModuleNotFoundError as error:
        missing = f"it needs the Python package {error.name}: pip install markdown-it-py pygments"
        raise DocumentationError(missing) from None
    site = Site(root, base, version(root))
    try:
        site.build()
    except BookError as error:
        raise DocumentationError(str(error)) from None
    if wrong := list(problems(site.pages)):
        raise DocumentationError("\n".join(wrong))
    return site.pages


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of ``folder`` at the end; after an error nothing is left of it.

    ``folder`` is new, empty, or was made by this.  Raises DocumentationError, and OSError.
    """
    if folder.exists() and not folder.is_dir():
        raise DocumentationError(f"{folder}: it is not a folder; give another one with --to")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise DocumentationError(f"{folder}: it has other files in it; give an empty or a new folder with --to")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield new
        (new / MARK).touch()
        new.chmod(0o777 & ~_umask())
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def write(made: dict[str, bytes], folder: Path) -> None:
    """Write them below a folder.  Raises OSError."""
    for place, content in made.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:  # nobody wants to know; else Python would complain of it at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Build it, and return the exit status."""
    parser = argparse.ArgumentParser(prog=NAME, description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--to", metavar="DIR", type=Path, default=FOLDER, help="default: build/documentation")
    parser.add_argument("--base", metavar="URL", help=BASE)
    options = parser.parse_args(arguments)
    if options.base and not re.fullmatch(r"https?://[^\s\"'<>]+", options.base):
        parser.error(f"--base {options.base}: give the address of a web page, https://HOST/PATH")
    try:
        with replacing(Path(os.path.realpath(options.to))) as new:
            write(pages(ROOT, options.base), new)
        _say(str(options.to / "book.html"))
    except DocumentationError as error:
        print("".join(f"{NAME}: {line}\n" for line in str(error).splitlines()), end="", file=sys.stderr)
        return 1
    except OSError as error:
        named = os.fsdecode(error.filename or options.to)
        where = named if Path(named).is_relative_to(ROOT) else options.to
        print(f"{NAME}: {where}: {error.strerror or error}; --to DIR names another folder", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
