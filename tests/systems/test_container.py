# SPDX-License-Identifier: GPL-2.0-or-later
"""The Dockerfile: built by buildah and run by podman, with and without /dev/kvm, on each Debian.

The base is made here (tests/lab/debian_lab.py), so no registry is asked.  Machines differ in what podman may do on them
(control groups, limits, networks): the first way that runs anything is taken.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path

import debian_lab
import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
WAYS_TO_RUN: tuple[tuple[str, ...], ...] = (
    (),
    LIMITS,
    (*LIMITS, "--runtime=runc"),
    (*LIMITS, "--cgroups=disabled", "--network=host"),
)
WAYS_TO_BUILD: tuple[tuple[str, ...], ...] = ((), ("--isolation=chroot",))
KVM_DEVICE = os.makedev(10, 232)
PROMPT = "lguest-py tiny Guest, ring 1\nits programs, ring 3\nlguest> "


def missing() -> str:
    """Why no container can be built here; empty where one can."""
    lacking = [name for name in ("buildah", "podman") if not shutil.which(name)]
    return debian_lab.missing() or (f"needs {', '.join(lacking)}" if lacking else "")


pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


class Containers:
    """A storage of its own with one image, ``lguest-py``."""

    def __init__(self, release: str, folder: Path) -> None:
        self.folder = folder
        self.run_by: tuple[str, ...] = ()
        configuration = folder / "storage.conf"
        configuration.write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n'
        )
        self.environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(configuration)}
        base = folder / "base.tar"
        debian_lab.add_certificate(debian_lab.tarball(release), base)
        settings = [f"--change=ENV {name}={value}" for name, value in debian_lab.pip_settings().items()]
        self.command("podman", "import", "--quiet", *settings, str(base), "localhost/base", check=True)
        base.unlink()
        self.run_by = self.first(WAYS_TO_RUN, "podman", "run", "--rm", "@", "localhost/base", "true")
        self.build()

    def command(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run podman or buildah to its end."""
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=check,
        )  # fmt: skip

    def first(self, ways: Sequence[tuple[str, ...]], *command: str) -> tuple[str, ...]:
        """The first of these options, put in the place of "@", with which the command works."""
        said = ""
        for way in ways:
            at = command.index("@")
            done = self.command(*command[:at], *way, *command[at + 1 :])
            if done.returncode == 0:
                return way
            said += f"{' '.join(way)}: {done.stdout[-3000:]}{done.stderr[-3000:]}\n"
        pytest.fail(f"{command[0]} works in no way here:\n{said}")

    def build(self) -> None:
        """The image, from a copy of the sources."""
        tree = self.folder / "tree"
        shutil.copytree(ROOT, tree, ignore=debian_lab.NOT_SOURCES)
        arguments = ("--build-arg=BASE=localhost/base", "--build-arg=COMMIT=feedc0ffee", "--tag=localhost/lguest-py")
        self.first(WAYS_TO_BUILD, "buildah", "bud", "@", *arguments, str(tree))
        shutil.rmtree(tree)

    def podman(self, *arguments: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """``podman run`` of the image."""
        return self.command("podman", "run", "--rm", *self.run_by, *options, "localhost/lguest-py", *arguments)

    def close(self) -> None:
        """Delete it all."""
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module", params=list(debian_lab.RELEASES))
def containers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Containers, None, None]:
    """The image on each release."""
    containers = Containers(request.param, tmp_path_factory.mktemp("containers"))
    yield containers
    containers.close()


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A /dev/kvm that only root may open."""
    device = tmp_path / "kvm"
    os.mknod(device, stat.S_IFCHR | 0o600, KVM_DEVICE)
    return device


def test_its_default_is_the_tiny_guest(containers: Containers) -> None:
    done = containers.podman()
    assert (done.returncode, done.stdout) == (0, PROMPT + "\n"), done.stderr


def test_it_is_small_and_its_user_has_no_rights(containers: Containers) -> None:
    (image,) = json.loads(containers.command("podman", "image", "inspect", "localhost/lguest-py", check=True).stdout)
    (base,) = json.loads(containers.command("podman", "image", "inspect", "localhost/base", check=True).stdout)
    assert image["Size"] - base["Size"] < 250_000_000
    assert image["User"] == "lguest"
    assert image["Config"]["Cmd"] == ["boot"]
    look = "import os, shutil, sys; print(os.geteuid(), *(shutil.which(name) for name in ('gcc', 'pip', 'git')))"
    options = ["--entrypoint=/opt/lguest-py/bin/python"]
    assert containers.podman("-c", look, options=options).stdout == "1000 None None None\n"


def test_it_knows_what_it_is(containers: Containers) -> None:
    first = containers.podman("--version").stdout.splitlines()[0]
    assert first.endswith("(commit feedc0ffee)")


def test_without_the_device_it_is_said_how_to_give_it(containers: Containers) -> None:
    done = containers.podman("boot", "--engine", "kvm")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)
    assert "start the container with --device /dev/kvm" in done.stderr
    assert "--engine tcg" in done.stderr


def test_a_device_that_may_not_be_opened(containers: Containers, device: Path) -> None:
    options = [f"--device={device}:/dev/kvm"]
    done = containers.podman("boot", "--engine", "kvm", options=options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)
    assert "this user may not open /dev/kvm" in done.stderr
    assert "--group-add" in done.stderr
    done = containers.podman(options=options)
    assert (done.returncode, done.stdout) == (0, PROMPT + "\n")
    assert "this user may not open /dev/kvm" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/kvm"), reason="there is no /dev/kvm")
def test_a_device_that_may_be_opened_is_tried(containers: Containers, device: Path) -> None:
    device.chmod(0o666)
    done = containers.podman("doctor", "--json", options=[f"--device={device}:/dev/kvm"])
    data = json.loads(done.stdout)
    assert data["kvm"]["flavour"] not in ("no device", "no permission", "no binding")
    assert [engine["engine"] for engine in data["engines"]] == (["kvm"] if data["kvm"]["usable"] else []) + ["tcg"]
    assert all(engine["passed"] for engine in data["engines"])
    assert data["system"]["container"] is True
