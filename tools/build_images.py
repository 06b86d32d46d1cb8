# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the 32-bit images that lguest_py ships: the Host kernel, the reset vector's ROM, the tiny Guest, the self-test.

Run at install time by setup.py; by hand after a change: ``python tools/build_images.py [NAME ...]``.  Objects go to
build/NAME/, what is shipped to lguest_py/_images/.  Only what changed is rebuilt, and several runs at once
wait for each other.  Nothing is linked but the objects named here, so an undefined symbol (a call into
libgcc, say) fails the build.

Read next: tools/toolchain.py for the compiler's options, tools/layouts.py for what the languages share.
"""

from __future__ import annotations

import fcntl
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import bzimage
import commit
import layouts
import switcher_lines
import toolchain
from toolchain import BuildError, Step

from lguest_py.console.progress import Progress

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Image:
    """What is linked from which sources; ``elf`` and ``flat`` are the names it is shipped under, if it is."""

    name: str
    sources: tuple[str, ...]
    script: str
    elf: str = ""
    flat: str = ""
    whole: bool = False  # optimised as one program: a world switch crosses many small files
    strip: bool = False  # without what a debugger needs: it goes into an initrd
    without: str = ""  # a source that the patterns name and that is left out
    defines: tuple[str, ...] = ()  # for the preprocessor


LINUX = ("guest_kernel/linux/*.[cS]",)  # what each program for a Linux Guest stands on
RUN = "host_kernel/core/run.c"  # the run loop, which those that measure have around their own
HOST = ("host_kernel/base/*.[cS]", "host_kernel/machine/*.[cS]", "host_kernel/memory/*.c",
        "host_kernel/instruction/*.c", "host_kernel/debugger/*.c", "host_kernel/pci/*.c", "host_kernel/lguest/*.c",
        "host_kernel/native/*.c", "host_kernel/native/pc/*.c", "host_kernel/core/*.[cS]", "switcher/*.S")  # fmt: skip
# In the order of their dependencies: a room includes and calls only what stands before it.
GUEST = tuple(f"guest_kernel/{room}/*.[cS]" for room in (
    "base", "cpu", "memory", "tasks", "bus", "console", "drivers", "network", "share", "traps", "user", "faults",
    "tests", "bench", "main"))  # fmt: skip
SAMPLES = "guest_kernel/bench/bench_samples.c"  # what each that measures prints its results with
HOST_PAE = tuple(pattern for pattern in HOST if pattern != "host_kernel/lguest/*.c")
IMAGES = (
    Image("host_kernel", HOST, "host_kernel/host_kernel.ld", elf="host_kernel.elf", flat="host_kernel.bin", whole=True),
    Image("host_kernel_pae", HOST_PAE, "host_kernel/host_kernel.ld", elf="host_kernel_pae.elf",
          flat="host_kernel_pae.bin", whole=True, defines=("PAE",)),
    Image("reset", ("host_kernel/reset/*.S",), "host_kernel/reset/reset.ld", flat="reset.bin"),
    Image("guest", GUEST, "guest_kernel/guest_kernel.ld", elf="guest.elf"),
    Image("guest_boot", ("guest_kernel/boot/*.[cS]",), "guest_kernel/boot/boot.ld"),
    Image("host_bench", (*HOST, "host_kernel/bench/*.[cS]", SAMPLES),
          "host_kernel/host_kernel.ld", flat="host_bench.bin", whole=True, without=RUN),
    Image("host_profile", (*HOST, "host_kernel/profile/*.c", "host_kernel/bench/print.c"),
          "host_kernel/host_kernel.ld", flat="host_profile.bin", whole=True, without=RUN),
    Image("host_profile_pae", (*HOST_PAE, "host_kernel/profile/*.c", "host_kernel/bench/print.c"),
          "host_kernel/host_kernel.ld", flat="host_profile_pae.bin", whole=True, without=RUN, defines=("PAE",)),
    Image("native_bench", ("guest_kernel/native_bench/*.[cS]", SAMPLES,
                           "guest_kernel/base/*.c"),
          "guest_kernel/native_bench/native_bench.ld", elf="native_bench.elf"),
    Image("linux_bench", (*LINUX, "guest_kernel/linux/bench/*.c"), "guest_kernel/linux/program.ld",
          elf="linux_bench.elf", strip=True),
    Image("linux_devices", (*LINUX, "guest_kernel/linux/bench/samples.c", "guest_kernel/linux/bench/must.c",
                            "guest_kernel/linux/devices/*.c"),
          "guest_kernel/linux/program.ld", elf="linux_devices.elf", strip=True),
    Image("selftest", ("lguest_py/kvm/selftest/*.S",), "lguest_py/kvm/selftest/selftest.ld", flat="selftest.bin"),
)  # fmt: skip
TEST_IMAGES = (
    Image("crash", (*LINUX, "guest_kernel/linux/bench/must.c", "guest_kernel/linux/crash/*.c"),
          "guest_kernel/linux/program.ld", strip=True),
    Image("vsock", (*LINUX, "guest_kernel/linux/bench/must.c", "guest_kernel/linux/vsock/*.c"),
          "guest_kernel/linux/program.ld", strip=True),
    Image("check", (*LINUX, "guest_kernel/linux/check/*.[cS]"), "guest_kernel/linux/program.ld"),
)  # fmt: skip


class Builder:
    """Builds ``images`` into ``root``/build and ``root``/lguest_py/_images."""

    def __init__(self, root: Path = ROOT, images: tuple[Image, ...] = IMAGES) -> None:
        self.root = root
        self.images = images
        self.build = root / "build"
        self.shipped = root / "lguest_py" / "_images"
        self.tools = toolchain.find()
        self.includes = ["-I.", "-Ibuild/generated"]

    def compile(self, source: Path, output: Path, *extra: str) -> Path:
        """One object from one C or assembler source (the assembler's go through the C preprocessor)."""
        deps = output.with_suffix(".d")
        inputs = (source, *(self.root / name for name in toolchain.dependencies(deps)))
        name = str(source.relative_to(self.root))
        own = ("-Wa,--fatal-warnings,--noexecstack", "-ffile-prefix-map=@ROOT@=.")
        files = ("-MMD", "-MF", str(deps.relative_to(self.root)), "-c", name, "-o", "@OUT@")
        command = (*self.tools.compile, *extra, *self.includes, *own, *files)
        Step(f"compiling {name}", command, inputs, output, output.parent).run(self.root)
        return output

    def sources(self, image: Image) -> list[Path]:
        """Its sources, sorted within each pattern."""
        found = [path for pattern in image.sources for path in sorted(self.root.glob(pattern))]
        return [path for path in found if str(path.relative_to(self.root)) != image.without]

    def link(self, image: Image) -> Path:
        """Compile, link and flatten one image.  Returns the flat file."""
        sources, script = self.sources(image), self.root / image.script
        where = self.build / image.name
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            outputs = [where / f"{source.parent.name}.{source.name}.o" for source in sources]
            extra = (*(toolchain.WHOLE if image.whole else ()), *(f"-D{name}" for name in image.defines))
            objects = list(pool.map(lambda pair: self.compile(*pair, *extra), zip(sources, outputs, strict=True)))
        elf = self.shipped / image.elf if image.elf else where / f"{image.name}.elf"
        names = [str(path.relative_to(self.root)) for path in objects]
        link = self.tools.link_whole if image.whole else self.tools.link
        strip = ("-s",) if image.strip else ()
        command = (*link, *strip, "-T", image.script, *names, "-o", "@OUT@")
        Step(f"linking {image.name}", command, (*objects, script), elf, where).run(self.root)
        flat = self.shipped / image.flat if image.flat else where / f"{image.name}.bin"
        command = (*self.tools.objcopy, "-O", "binary", str(elf), "@OUT@")
        Step(f"flattening {image.name}", command, (elf,), flat, where).run(self.root)
        return flat

    def generate(self) -> None:
        """The layouts in all three languages, and the proof that the i386 compiler agrees with them."""
        generated = self.build / "generated"
        layouts.generate(generated, self.root / "lguest_py" / "shared_memory" / "_layouts.py")
        self.compile(generated / "checks.c", generated / "checks.o")

    def all(self) -> None:
        """Everything that is out of date; one image that fails does not keep the others back.  Raises BuildError."""
        self.build.mkdir(exist_ok=True)
        self.shipped.mkdir(exist_ok=True)
        with ExitStack() as stack:
            lock = stack.enter_context((self.build / ".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            commit.record(self.root, self.shipped / "commit")
            progress = stack.enter_context(Progress("building the 32-bit images"))
            self.generate()
            failures = []
            flat: dict[str, Path] = {}
            for image in self.images:
                progress.say(image.name)
                try:
                    flat[image.name] = self.link(image)
                except BuildError as error:
                    failures.append(str(error))
            if "host_kernel" in flat and switcher_lines.there(self.root):
                switcher_lines.write(self.root, self.shipped / "switcher_lines.json", self.compile)
            if failures:
                raise BuildError("\n".join(failures))
            if "guest_boot" in flat:
                self.join(flat["guest_boot"], self.shipped / "guest.elf")

    def join(self, boot: Path, guest: Path) -> None:
        """The tiny Guest as a bzImage."""
        image, output = bzimage.join(boot.read_bytes(), guest.read_bytes()), self.shipped / "guest.bzImage"
        if not output.exists() or output.read_bytes() != image:
            aside = self.build / "guest.bzImage.new"
            aside.write_bytes(image)
            aside.replace(output)


def main(names: list[str]) -> int:
    """Build everything, or the images of these names; the exit status."""
    images = tuple(image for image in IMAGES if not names or image.name in names)
    try:
        Builder(images=images).all()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
