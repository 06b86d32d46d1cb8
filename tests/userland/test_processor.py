# SPDX-License-Identifier: GPL-2.0-or-later
"""What Debian's tools ask of the processor: gdb and perf find what there is; KVM, vm86 and counters are absent cleanly.

Each number that gdb must print is the one that it prints for the same program on a processor of its own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import toolchain
from packages_lab import archive, downloaded, install, served
from userland_lab import Userland

from lguest_py.kernels.stock import Kernel

pytestmark = [
    pytest.mark.timeout(2 * 3600),
    pytest.mark.skipif(not shutil.which("passt"), reason="needs passt"),
]
PACKAGES = ("gdb", "linux-perf")
PROGRAM = Path(__file__).with_name("debugged.c")
LIMIT = 3600.0  # seconds for the installation, and for a run of a tool
# Said by the first command of modprobe; any other message is a fault.
REFUSED = re.compile(r"kvm: no hardware support for '(kvm_intel|kvm_amd)'|kvm: support for '.*' disabled by bios")
BREAKPOINT = """\
break factorial if n == 1
run
backtrace
"""
WATCHPOINT = """\
break factorial
run
delete
watch watched
rwatch wrong
continue
continue
continue
continue
hbreak counted
continue
"""
STEPS = """\
break counted
run
delete
set $end = *(unsigned *)$esp
set $steps = 0
while (unsigned)$eip != $end
stepi
set $steps = $steps + 1
end
printf "steps %d\\n", $steps
tbreak step_over_a_system_call
continue
stepi
stepi
printf "behind the call by %d, number %d\\n", (int)$eip - (int)step_over_a_system_call - 5, $eax
info inferiors
"""
STOPS = """\
catch syscall vm86old
handle SIGWINCH stop print
run
continue
delete
continue
"""


@pytest.fixture
def guest(userland: Kernel, engine_name: str, tmp_path: Path) -> Iterator[Userland]:
    """The system with the tools and with the program as /root/debugged; its end is checked, too."""
    tools = toolchain.find()
    folder = tmp_path / "served"
    shutil.copytree(archive("processor", userland, PACKAGES), folder)
    for command in (
        [*tools.compile, "-O0", "-c", PROGRAM, "-o", tmp_path / "debugged.o"],
        [*tools.link, tmp_path / "debugged.o", "-o", folder / "debugged"],
    ):
        subprocess.run([str(word) for word in command], check=True)
    disk = tmp_path / "kept.img"
    with served(folder) as port, Userland(engine=engine_name, root=disk, memory="512M", limit=LIMIT) as guest:
        install(guest, port, *PACKAGES)
        downloaded(guest, port, "debugged")
        guest.run("chmod +x /root/debugged")
        yield guest
        assert guest.poweroff().status == 0


def debug(guest: Userland, script: str) -> str:
    """What gdb prints for the commands, each of which must work."""
    guest.run(f"cat >/root/script <<'END'\nset pagination off\nset width 0\n{script}END")
    return guest.run("gdb -nx -batch -x /root/script /root/debugged", LIMIT)


def use_gdb(guest: Userland) -> None:
    frames = re.findall(r"^#(\d)  .*?(factorial \(n=\d\)|_start \(\))", debug(guest, BREAKPOINT), re.M)
    assert [frame for _, frame in frames] == [*(f"factorial (n={n})" for n in (1, 2, 3, 4)), "_start ()"]

    said = debug(guest, WATCHPOINT)
    assert re.findall(r"Old value = (\d)\nNew value = (\d)\n", said) == [("0", "4"), ("4", "3"), ("3", "2"), ("2", "1")]
    assert said.count("Hardware watchpoint 2: watched") == 5
    assert "Hardware read watchpoint 3: wrong" in said
    assert re.search(r"^Breakpoint 4, counted \(\)", said, re.M), said

    said = debug(guest, STEPS)
    assert "steps 29\n" in said
    process = re.search(r"^\* 1 +process (\d+)", said, re.M)
    assert process, said
    assert f"behind the call by 2, number {process[1]}\n" in said

    said = debug(guest, STOPS)
    assert "received signal SIGWINCH" in said
    assert "Catchpoint 1 (call to syscall vm86old)" in said
    assert "exited with code 030" in said

    said = guest.run("(sleep 1000 & gdb -nx -batch -p $! -ex 'info registers eip' -ex detach; kill $!)", LIMIT)
    assert re.search(r"^eip +0x[0-9a-f]+", said, re.M), said
    guest.check_messages()


def use_perf(guest: Userland, watched: str) -> None:
    """Software events and breakpoints count; those of a hardware that is not there are not supported."""
    counters = "cycles,instructions,cache-misses,task-clock,page-faults"
    said = guest.run(f"perf stat -x, -e {counters},mem:{watched}:w:u /root/debugged 2>&1 || true")
    count = {words[2]: words[0] for words in (line.split(",") for line in said.splitlines()) if len(words) > 3}
    assert {count[name] for name in ("cycles", "instructions", "cache-misses")} == {"<not supported>"}, said
    assert float(count["task-clock"]) > 0
    assert int(count["page-faults"]) > 0
    assert int(count[f"mem:{watched}:w:u"]) == 4
    guest.run("cd /root && perf record -q -e cpu-clock dd if=/dev/zero of=/dev/null bs=1M count=500")
    assert int(guest.run("cd /root && perf script 2>/dev/null | grep -c cpu-clock")) > 10
    status, said = guest.status("cd /root && perf record -q -e instructions true")  # for cycles it takes the clock
    assert status != 0, said
    assert "not supported" in said or "No such" in said
    guest.check_messages()


def refuse_kvm(guest: Userland) -> None:
    assert guest.run("grep -cwE 'vmx|svm|arch_perfmon' /proc/cpuinfo || true") == "0"
    for module in ("kvm_intel", "kvm_amd"):
        status, said = guest.status(f"modprobe {module}")
        assert status == 1
        assert f"could not insert '{module}': Operation not supported" in said
    assert guest.run("lsmod | grep -cE '^kvm_(intel|amd)' || true; test ! -e /dev/kvm") == "0"
    messages = guest.messages()
    assert [line for line in messages if not REFUSED.search(line)] == []
    guest.run("modprobe kvm && modprobe -r kvm && dmesg --clear")
    guest.check_messages()


@pytest.mark.nightly
def test_debugger_counters_and_hypervisor(guest: Userland) -> None:
    assert guest.status("/root/debugged") == (24, "done")
    use_gdb(guest)
    watched = re.search(r"0x[0-9a-f]+", debug(guest, "print &watched\n"))
    assert watched
    use_perf(guest, watched[0])
    refuse_kvm(guest)
