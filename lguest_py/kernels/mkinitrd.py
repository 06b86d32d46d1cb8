# SPDX-License-Identifier: GPL-2.0-or-later
"""Make an initrd: a directory, or busybox with an init that gives a shell, as a gzipped cpio archive.

The archive is in "newc" format; all in it belongs to root and has no date, so that the same input gives the same
bytes.  Source: Linux's description of the initramfs buffer format.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from lguest_py.errors import ImageError, UsageError
from lguest_py.files.descriptors import check
from lguest_py.files.inputs import open_regular, printable
from lguest_py.files.outputs import descriptor, writing

BUSYBOX_ADVICE = "give a static 32-bit busybox, as Debian's busybox-static:i386 has it in /bin"
LARGEST = 1 << 30  # bytes of one file: a Guest has no room for more
CONSOLE, NULL = (5, 1), (1, 3)  # character devices, from Linux's list of allocated devices
FOLDERS = "bin", "dev", "etc", "etc/udhcpc", "mnt", "proc", "root", "sys", "usr"
INIT = """\
#!/bin/sh
# Process 1 of an initrd that lguest-py made: gives a shell, then powers off.  With run=COMMAND on the kernel's command
# line it runs that instead, and reports its status.  It does the same with piped input that has ended: an interactive
# shell sets its terminal to single keys, and would not see the Ctrl-D of input that came before.
#
# busybox's poweroff, halt and reboot signal process 1.  A shell handles a signal late while a command runs in its
# foreground, and a command in its background would ignore Ctrl-C.  So the session is a process of its own: the second
# setsid forks, as its process leads a session already, and leaves it to process 1, which waits for the end of $ended.
# Process 1 prints the status too, so that none is reported after a poweroff, halt or reboot before the session's end.
ended=/dev/lguest-session report=/dev/lguest-status
fail() {
    echo "init: $*"
    exit 1 # the kernel panics, as it does without an initrd
}
# With root= the system on that disk takes over: the kernel's words for it have the meaning that its documentation says.
take_over() {
    disk= type= flags= how=ro program=/sbin/init tries=0
    set -f
    for word in $(cat /proc/cmdline); do
        case $word in
            root=*) disk=${word#*=} ;;
            rootfstype=*) type=${word#*=} ;;
            rootflags=*) flags=,${word#*=} ;;
            init=*) program=${word#*=} ;;
            ro | rw) how=$word ;;
            --) break ;;
        esac
    done
    set +f
    [ -n "$disk" ] || return 0
    [ -z "${run+yes}" ] || fail "run= is for this initrd's own shell, and root=$disk names a system that takes over"
    case $disk in
        LABEL=* | UUID=*) place='findfs $disk' ;;
        *) place='echo $disk' ;;
    esac
    until node=$(eval $place 2>/dev/null) && [ -b "$node" ]; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || fail "root=$disk is no disk here; there are: $(cd /sys/block && echo *)"
        usleep 100000
    done
    mkdir /system
    mount ${type:+-t $type} -o $how$flags $node /system || fail "root=$disk cannot be mounted"
    [ -e /system$program ] || [ -L /system$program ] || fail "root=$disk has no $program in it: name one with init="
    for folder in dev proc sys; do
        mount -o move /$folder /system/$folder || fail "root=$disk has no folder /$folder"
    done
    exec switch_root /system $program "$@"
}
if [ "$1" != session ]; then
    mkdir -p /proc /sys /dev /tmp /root /mnt /bin /sbin /usr/bin /usr/sbin
    /bin/busybox --install -s
    export HOME=/root PATH=/bin:/sbin:/usr/bin:/usr/sbin
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    # Drivers for the devices that are there.  Those of file systems come when mount asks for them.
    if [ -d /lib/modules ]; then
        for bus in pci virtio; do
            aliases=$(cat /sys/bus/$bus/devices/*/modalias 2>/dev/null) && modprobe -qa $aliases 2>/dev/null
        done
    fi
    take_over "$@"
    ip link set lo up 2>/dev/null
    stty crtscts 2>/dev/null
    trap 'halt -f' USR1
    trap 'poweroff -f' USR2
    trap 'reboot -f' TERM
    mkfifo -m 600 $ended
    read -r never <$ended &
    setsid setsid /bin/sh "$0" session "$@"
    wait
    # The status has a line of its own; the command may not have ended its last one.
    [ ! -e $report ] || { read -r line <$report && printf '\\n%s\\n' "$line"; }
    exec poweroff -f
fi
shift
exec 9>$ended
run_given=${run+yes} command=$run typed=/tmp/typed-ahead input_ended= more= wrong=
unset run
for word in "$@"; do
    case $word in
        run=*) run_given=yes command=${word#run=} ;; # behind --
        nopti | nokaslr | no5lvl | nospectre_v2 | nospec_store_bypass_disable) ;; # the kernel's, which hands them on
        *) more="$more $word" ;;
    esac
done
# A test must not pass if another command ran than the given one.
case $run_given$command in
    yes*[![:space:]]* | '') ;;
    *) wrong="run= names no command" ;;
esac
if [ -z "$wrong" ] && [ -n "$run_given" ] && [ -n "$more" ]; then
    wrong="unknown words beside run=:$more (a command of several words must be quoted)"
fi
: >$typed
while [ -z "$run_given" ] && { read -t 0 || { usleep 300000; read -t 0; }; }; do
    IFS= read -r line || { input_ended=yes; break; }
    printf '%s\\n' "$line" >>$typed
done
if [ -n "$wrong" ]; then
    echo "init: $wrong"
    (exit 2)
elif [ -n "$command" ]; then
    setsid cttyhack sh -c "$command" 9>&-
elif [ -n "$input_ended" ]; then
    sh <$typed 9>&-
else
    ENV=$typed setsid cttyhack sh 9>&-
fi
status=$?
[ -z "$run_given$input_ended" ] || echo "lguest-py: exit status $status" >$report
"""
DHCP = """\
#!/bin/sh
# udhcpc calls it with what happened; what the server gave is in the environment.
case $1 in
    deconfig)
        ip address flush dev $interface
        ip link set $interface up
        ;;
    bound | renew)
        ip address flush dev $interface
        ip address add $ip/${mask:-24} dev $interface
        [ -z "$mtu" ] || ip link set $interface mtu $mtu
        for gateway in $router; do
            ip route add $gateway dev $interface 2>/dev/null # it may be outside of the network
            ip route add default via $gateway dev $interface && break
        done
        for server in $dns; do
            echo nameserver $server
        done >/etc/resolv.conf
        ;;
esac
"""
FILE_SYSTEMS = "ext4\n"  # which mount tries without -t, so that the kernel loads its module


@dataclass(frozen=True)
class Entry:
    """One name in an archive: its mode with the file type, and what it holds."""

    mode: int
    read: Callable[[], bytes] = field(default=bytes)  # a file's bytes, or where a symbolic link leads
    device: tuple[int, int] = (0, 0)  # major, minor


Tree = dict[str, Entry]  # by path without a leading slash; parents come first when sorted


def _too_large(name: str) -> ImageError:
    return ImageError(f"{printable(name)} has more than {LARGEST >> 20}M, which no Guest has room for: leave it out")


def written(out: str) -> tuple[int, int] | None:
    """Device and inode of the file at ``out``, or of what "-" leads to; None where there is none yet."""
    fd = descriptor(out)
    try:
        facts = os.stat(out) if fd is None else os.fstat(fd)
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def directory_tree(path: str, out: str | None = None) -> Tree:
    """Everything below the directory at ``path`` but for sockets and the file ``out``.  Raises ImageError."""
    skipped = None if out is None else written(out)
    root = printable(path)
    if not os.path.isdir(path):
        raise ImageError(f"{root} is not a directory: give the directory that is to become the initrd's root")
    tree: Tree = {}

    def add(directory: str, prefix: str) -> None:
        with os.scandir(directory) as found:
            items = sorted(found, key=lambda item: item.name)
        for item in items:
            facts = item.stat(follow_symlinks=False)
            kind, name = stat.S_IFMT(facts.st_mode), prefix + item.name
            if kind == stat.S_IFREG and (facts.st_dev, facts.st_ino) == skipped:
                continue  # an initrd that was made there before, or is being made
            if kind == stat.S_IFREG:
                if facts.st_size > LARGEST:  # before all of it is read
                    raise _too_large(name)
                tree[name] = Entry(facts.st_mode, Path(item.path).read_bytes)
            elif kind == stat.S_IFLNK:
                target = os.fsencode(os.readlink(item.path))
                tree[name] = Entry(facts.st_mode, lambda target=target: target)  # type: ignore[misc]
            elif kind != stat.S_IFSOCK:
                tree[name] = Entry(facts.st_mode, device=(os.major(facts.st_rdev), os.minor(facts.st_rdev)))
            if kind == stat.S_IFDIR:
                add(item.path, name + "/")

    try:
        add(path, "")
    except OSError as error:
        check(error)
        name = printable(str(error.filename))
        raise ImageError(f"{name} cannot be read ({error.strerror}): make it readable, or leave it out") from None
    return tree


def _check_busybox(data: bytes, name: str) -> None:
    """Raise ImageError when it is not a 32-bit x86 program that needs no libraries."""
    import io

    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(data))
        right = elf.elfclass == 32 and elf["e_machine"] == "EM_386"
        dynamic = any(segment["p_type"] == "PT_INTERP" for segment in elf.iter_segments())
    except Exception:  # pyelftools reports what is malformed in many ways
        raise ImageError(f"{name} is not an ELF program: {BUSYBOX_ADVICE}") from None
    if not right:
        raise ImageError(f"{name} is not built for 32-bit x86: {BUSYBOX_ADVICE}")
    if dynamic:
        raise ImageError(f"{name} needs shared libraries: {BUSYBOX_ADVICE}")


def _skeleton() -> Tree:
    """What is laid around a busybox.  Every folder of programs is one, so that a program is found by any usual path."""
    return {
        **{name: Entry(stat.S_IFDIR | 0o755) for name in FOLDERS},
        **{name: Entry(stat.S_IFLNK | 0o777, lambda: b"/bin") for name in ("sbin", "usr/bin", "usr/sbin")},
        "tmp": Entry(stat.S_IFDIR | 0o1777),
        "bin/sh": Entry(stat.S_IFLNK | 0o777, lambda: b"busybox"),
        "init": Entry(stat.S_IFREG | 0o755, INIT.encode),
        "etc/filesystems": Entry(stat.S_IFREG | 0o644, FILE_SYSTEMS.encode),
        "etc/udhcpc/default.script": Entry(stat.S_IFREG | 0o755, DHCP.encode),  # where Debian's busybox looks for it
    }


def edition(modules: Iterable[str]) -> str:
    """A name for what busybox_tree() puts around a busybox, together with these modules."""
    whole = [(name, entry.mode, entry.read()) for name, entry in sorted(_skeleton().items())]
    return hashlib.sha256(repr((whole, *modules)).encode()).hexdigest()[:16]


def busybox_tree(path: str) -> Tree:
    """A root with the busybox at ``path``, and INIT.  Raises ImageError when it is not one that can run there."""
    file, size = open_regular(path, BUSYBOX_ADVICE)
    with file:
        data = file.read(size)
    _check_busybox(data, printable(path))
    return {**_skeleton(), "bin/busybox": Entry(stat.S_IFREG | 0o755, lambda: data)}


def _record(number: int, name: str, entry: Entry) -> bytes:
    """One archive member: header, name and contents, each padded to 4 bytes."""
    contents = entry.read()
    if len(contents) > LARGEST:
        raise _too_large(name)
    path = os.fsencode(name) + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, 0, len(contents), 0, 0, *entry.device, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in fields) + path
    return header + bytes(-len(header) % 4) + contents + bytes(-len(contents) % 4)


def write_archive(out: BinaryIO, tree: Tree) -> None:
    """Write ``tree`` as a gzipped archive.  What a kernel needs before init runs (/dev/console) is added.

    Raises ImageError when a file of it cannot be read.
    """
    whole = {
        "dev": Entry(stat.S_IFDIR | 0o755),
        "dev/console": Entry(stat.S_IFCHR | 0o600, device=CONSOLE),
        "dev/null": Entry(stat.S_IFCHR | 0o666, device=NULL),
        **tree,
    }
    with gzip.GzipFile("", "wb", 9, out, 0) as packed:
        for number, name in enumerate(sorted(whole, key=lambda name: name.split("/")), 1):
            try:
                record = _record(number, name, whole[name])
            except OSError as error:
                check(error)
                raise ImageError(f"{printable(name)} cannot be read ({error.strerror}): make it readable") from None
            packed.write(record)
        packed.write(_record(0, "TRAILER!!!", Entry(0)))


def make_initrd(out: str, tree: Tree) -> None:
    """Write the initrd to the file ``out``: all of it or, with an LguestError, none."""
    fd = descriptor(out)
    if fd is not None and os.isatty(fd):
        raise UsageError("the output is a terminal, and an initrd is no text: name a file (-o), or give a pipe")
    with writing(out, "choose another place (-o)") as file:
        write_archive(file, tree)
