# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tests run, and on which engines.

A test that starts an engine takes the fixture ``engine_name``: it then runs once for "tcg" and once for "kvm".
``--engines=tcg|kvm|tcg,kvm`` chooses.  Where it names kvm and this machine's KVM cannot serve, those tests run in
the carrier (tests/lab/engines/kvm_carrier.py).  Without the option kvm runs where it can serve directly, else it is
left out.

A test of a real Linux takes the fixture ``linux``; one of a distribution's own kernel takes ``stock``, ``stock_pae`` or
``stock_rt``, one of a system on a root disk ``userland``; they are fetched into the user's cache when they are not
there.  One of any unmodified kernel takes ``native_kernel``.  What is long is marked ``nightly``.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import build_images
import kvm_carrier
import pytest
import second_try
from linux_lab import ROOT, RealLinux
from toolchain import BuildError

from lguest_py.errors import LguestError
from lguest_py.kernels.fetch import fetch
from lguest_py.kernels.stock import Kernel, find
from lguest_py.sandbox import child

ENGINES = ("tcg", "kvm")
FETCHED = {  # by the fixture's name
    "stock": "debian-6.1-686",
    "stock_pae": "debian-6.1-686-pae",
    "stock_rt": "debian-6.1-rt-686-pae",
    "userland": "debian-12-i386",
}
NOT_BUILT = pytest.StashKey[str]()
LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    group = parser.getgroup("lguest-py")
    group.addoption("--engines", metavar="LIST", help="tcg, kvm or tcg,kvm (default: tcg, and kvm where it can serve)")
    group.addoption("--nightly", action="store_true", help="also run what is long")
    group.addoption("--no-sandbox", action="store_true", help="no walls around a test's own QEMU (tools/coverage.py)")
    group.addoption("--as-built", action="store_true", help="test the images as they are (tools/mutate.py)")
    kvm_carrier.add_option(group)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options; build the images, so that what is tested is what stands in the sources."""
    named = config.getoption("engines")
    if named is not None and not set(named.split(",")) <= set(ENGINES):
        raise pytest.UsageError(f"--engines={named}: give tcg, kvm or tcg,kvm")
    obey_signals()
    linux_directories()
    packed_directory()
    kvm_carrier.pytest_configure(config)
    second_try.pytest_configure(config)
    if config.getoption("no_sandbox"):
        child.disable()
    if kvm_carrier.inside() or config.getoption("as_built"):
        return
    try:
        build_images.Builder(images=build_images.IMAGES + build_images.TEST_IMAGES).all()
    except BuildError as error:
        config.stash[NOT_BUILT] = str(error)


def obey_signals() -> None:
    """Whoever runs the tests may ignore some (nohup, a background job), and what we start would inherit that."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def wanted(config: pytest.Config, engine: str) -> bool:
    """Whether an engine is to be tested.  Only a test of the kvm engine asks about it, and so probes."""
    named = config.getoption("engines")
    return engine in named.split(",") if named else engine == "tcg" or kvm_carrier.kvm_serves()


def engine_of(item: pytest.Item) -> str | None:
    """The engine that an item starts, if it starts one."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("engine_name") if callspec else None


def linux_directories() -> list[Path]:
    """The kernel in LGUEST_LINUX, or those in its subdirectories.  Raises UsageError when something is missing."""
    name = os.environ.get("LGUEST_LINUX")
    if not name:
        return []
    directory = Path(name).resolve()
    files = ("bzImage", "vmlinux", "initrd")
    missing = [file for file in files if not (directory / file).is_file()]
    if not missing:
        return [directory]
    several = [found.parent for found in sorted(directory.glob("*/bzImage")) if found.is_file()]
    if not several:
        raise pytest.UsageError(f"LGUEST_LINUX={name}: no {', '.join(missing)} there")
    for each in several:
        if missing := [file for file in files if not (each / file).is_file()]:
            raise pytest.UsageError(f"LGUEST_LINUX={name}: no {', '.join(missing)} in {each.name}")
    return several


def native_kernels() -> list[Path]:
    """The fetched kernels, and those in LGUEST_NATIVE.  Raises UsageError when there is none."""
    names = [name for fixture, name in FETCHED.items() if fixture != "userland" and not trouble_with(name)]
    fetched = [kernel.kernel for name in names if (kernel := find(name))]
    name = os.environ.get("LGUEST_NATIVE")
    own = sorted(Path(name).resolve().glob("*/vmlinuz")) if name else []
    if name and not own:
        raise pytest.UsageError(f"LGUEST_NATIVE={name}: no NAME/vmlinuz there")
    return fetched + own


KERNELS = {"linux", "native_kernel", "packed", *FETCHED}  # fixtures; what needs one is left out where it is not there


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With several kernels in LGUEST_LINUX each test runs with each.

    A parameter with the name of one of these fixtures would have its test left out.
    """
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0].replace(" ", "").split(",") if isinstance(mark.args[0], str) else mark.args[0]
        if hidden := KERNELS.intersection(names):
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: {min(hidden)!r} is a fixture; name the parameter otherwise"
            )
    several = linux_directories()
    if "linux" in metafunc.fixturenames and len(several) > 1:
        metafunc.parametrize("linux", several, indirect=True, scope="session", ids=[each.name for each in several])
    if "native_kernel" in metafunc.fixturenames:
        natives = native_kernels()
        metafunc.parametrize("native_kernel", natives, ids=[each.parent.name for each in natives])


def packed_directory() -> Path | None:
    """LGUEST_PACKED.  Raises UsageError when there is no kernel in it."""
    name = os.environ.get("LGUEST_PACKED")
    if not name:
        return None
    directory = Path(name).resolve()
    if not list(directory.glob("bzImage.*")):
        raise pytest.UsageError(f"LGUEST_PACKED={name}: no bzImage.gz, bzImage.xz, … there")
    return directory


@cache
def trouble_with(name: str) -> str:
    """Fetch the kernel or system, unless it is there; why that failed."""
    try:
        fetch(name, lambda text: None)
    except LguestError as error:
        return str(error)
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what starts an engine, leave out what was not asked for, and put what runs in the carrier last."""
    left_out: dict[pytest.Item, str] = {}
    for item in items:
        engine = engine_of(item)
        if engine:
            item.add_marker("engine")
            second_try.allow(config, item)
        if engine and not wanted(config, engine):
            left_out[item] = f"engine {engine}"
        elif "linux" in getattr(item, "fixturenames", ()):
            item.add_marker("linux")
            if not linux_directories():
                left_out[item] = "real Linux"
        elif "packed" in getattr(item, "fixturenames", ()) and not packed_directory():
            left_out[item] = "packed kernels"
        elif "self_tests" in getattr(item, "fixturenames", ()) and not os.environ.get("LGUEST_SELFTESTS"):
            left_out[item] = "self-tests"
        for fixture, name in FETCHED.items():
            if fixture in getattr(item, "fixturenames", ()) and item not in left_out:
                item.add_marker("stock")
                if not os.environ.get("CI") and trouble_with(name):  # under CI it fails instead
                    left_out[item] = f"fetched {name}"
        nightly = item.get_closest_marker("nightly")
        if nightly and not config.getoption("nightly") and (not nightly.args or engine in nightly.args):
            left_out.setdefault(item, "nightly")
    config.stash[LEFT_OUT] = list(left_out.values())
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = sorted((item for item in items if item not in left_out), key=lambda item: engine_of(item) == "kvm")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the carrier beside us, when there is work for it."""
    items = [item for item in session.items if engine_of(item) == "kvm"]
    if items and not session.config.option.collectonly and not kvm_carrier.kvm_serves():
        session.config.pluginmanager.register(kvm_carrier.Carrier(session.config, items))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What did not run, and results by engine."""
    counts = {name: {"passed": 0, "failed": 0} for name in ENGINES}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name in ENGINES:
                ours = "engine" in report.keywords and re.search(rf"[\[-]{name}[]-]", report.nodeid)
                counts[name][outcome] += bool(ours)
    left_out: list[str] = config.stash.get(LEFT_OUT, [])
    second_try.summary(terminalreporter)
    terminalreporter.section("lguest-py")
    for name, count in counts.items():
        terminalreporter.line(f"engine {name}: {count['passed']} passed, {count['failed']} failed")
    for what, why in (
        ("engine tcg", "--engines"),
        ("engine kvm", "KVM cannot serve here, or --engines; --engines=kvm takes the carrier"),
        ("nightly", "--nightly"),
        ("real Linux", "set LGUEST_LINUX=DIR, with bzImage, vmlinux and initrd, or with kernels in subdirectories"),
        ("packed kernels", "set LGUEST_PACKED=DIR, with bzImage.gz, bzImage.zst, …"),
        ("self-tests", "set LGUEST_SELFTESTS=DIR, with Linux's own, GROUP.NAME"),
        *((f"fetched {name}", trouble_with(name)) for name in FETCHED.values() if f"fetched {name}" in left_out),
    ):
        if what in left_out or (what == "real Linux" and not linux_directories()):
            terminalreporter.line(f"NOT RUN: {what} ({why}): {left_out.count(what)} tests")
    if NOT_BUILT in config.stash:
        terminalreporter.line(f"NOT BUILT: {config.stash[NOT_BUILT]}", red=True)


@pytest.fixture(scope="session", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """The engine to test: "tcg" or "kvm"."""
    return str(request.param)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the sockets of running Guests; those that a test leaves are ended, and leave nothing."""
    from lguest_py.control.client import Running, running

    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield folder
    for each in running():
        Running(each["name"]).stop()
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="session")
def linux(request: pytest.FixtureRequest) -> RealLinux:
    """A real Linux in LGUEST_LINUX."""
    directory: Path = getattr(request, "param", None) or linux_directories()[0]
    return RealLinux(directory / "bzImage", directory / "vmlinux", directory / "initrd")


@pytest.fixture(scope="session")
def self_tests() -> Path:
    """Linux's own self-tests, in LGUEST_SELFTESTS."""
    return Path(os.environ["LGUEST_SELFTESTS"]).resolve()


@pytest.fixture(scope="session")
def packed() -> Path:
    """The kernels in LGUEST_PACKED."""
    directory = packed_directory()
    assert directory
    return directory


@pytest.fixture(scope="session")
def stock() -> Kernel:
    """A distribution's own kernel."""
    return fetched(FETCHED["stock"])


@pytest.fixture(scope="session")
def stock_pae() -> Kernel:
    """The same with page tables of PAE's form, and NX."""
    return fetched(FETCHED["stock_pae"])


@pytest.fixture(scope="session")
def stock_rt() -> Kernel:
    """The same with PREEMPT_RT."""
    return fetched(FETCHED["stock_rt"])


@pytest.fixture(scope="session")
def userland() -> Kernel:
    """A distribution on a root disk."""
    return fetched(FETCHED["userland"])


def fetched(name: str) -> Kernel:
    """What a fixture of FETCHED is; the test fails where it cannot be had."""
    if trouble := trouble_with(name):
        pytest.fail(trouble, pytrace=False)
    found = find(name)
    assert found
    return found
