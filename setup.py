# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyproject.toml cannot say: the 32-bit images and the KVM extension are built when the package is.

A source distribution has the images too, so that it can be installed where no compiler makes x86 code.
Read next: tools/build_images.py (the images), lguest_py/kvm/_build.py (the extension), tools/manual.py.
"""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from setuptools import Command, setup
from setuptools.command.build import build
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
IMAGES = ROOT / "lguest_py" / "_images"
EXTENSION = ROOT / "lguest_py" / "kvm" / "_build.py"

sys.path.insert(0, str(ROOT / "tools"))


class BuildImages(Command):
    """Build the images and lguest_py/shared_memory/_layouts.py in place, before the Python files are gathered."""

    user_options = []  # type: ignore[var-annotated] # noqa: RUF012
    editable_mode = False
    build_lib = None

    def initialize_options(self) -> None:
        """There are no options."""

    def finalize_options(self) -> None:
        """There are no options."""

    def run(self) -> None:
        """Build, or without a compiler for x86 keep the images that came with the sources.  Then the manual page."""
        import build_images
        import toolchain

        try:
            build_images.Builder().all()
        except toolchain.NoToolsError as error:
            if not (IMAGES / "host_kernel.bin").exists():
                sys.exit(str(error))
            print("lguest-py: no compiler; the images that came with the sources are used", file=sys.stderr)
        except toolchain.BuildError as error:
            sys.exit(str(error))

        import manual  # now: it imports the package, which needs what was made above

        manual.write()

    def get_source_files(self) -> list[str]:
        """Empty: MANIFEST.in names the sources."""
        return []

    def get_outputs(self) -> list[str]:
        """Empty: the files are the package's data."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """Empty: the files are built where they are used."""
        return {}


class Sdist(sdist):
    """The usual source distribution, with the images in it."""

    def run(self) -> None:
        """Build them first."""
        self.run_command("build_images")
        super().run()


class Build(build):
    """The usual build, after the images."""

    sub_commands = [("build_images", None), *build.sub_commands]  # noqa: RUF012


def extension() -> dict[str, Any]:
    """The KVM extension, on x86 Linux with a compiler.  Elsewhere only the tcg engine works."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "i386", "i686") or not shutil.which("gcc"):
        return {}
    return {"cffi_modules": [f"{EXTENSION.relative_to(ROOT)}:ffi"]} if EXTENSION.exists() else {}


setup(
    cmdclass={"build": Build, "build_images": BuildImages, "sdist": Sdist},
    data_files=[("share/man/man1", ["build/lguest-py.1"])],
    options={
        "build": {"build_base": "build/python"},  # apart from what tools/build_images.py makes
        "bdist_wheel": {"py_limited_api": "cp311"} if extension() else {},  # one wheel for every Python from 3.11
    },
    **extension(),
)
