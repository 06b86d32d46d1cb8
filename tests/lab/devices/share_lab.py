# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder to share, what a Linux in a Guest does with it, and how it must look afterwards.

``fill`` makes the folder ``rw``; the Guest mounts it, and a second one read-only, and runs SCRIPT, which is in it;
``check`` compares.  The script needs a shell, busybox's programs, and room in /tmp.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
from pathlib import Path

MSIZE = 131072
OPTIONS = f"trans=virtio,version=9p2000.L,msize={MSIZE}"
SECRET = "secret of the Host"
SCRIPT = r"""
cd $1 || exit 1
set -e
trap 'echo "SHARE FAILED after: $step"' EXIT
step() { step=$1; echo "$(cut -d' ' -f1 /proc/uptime) $1"; }
refused() { if "$@" 2> /tmp/error; then exit 1; fi; }

step "a tree to the Guest, and back"
cp -a tree /tmp/tree
cp -a /tmp/tree back
(cd /tmp/tree; find . -type f | sort | xargs md5sum) > tree.sums
(cd back; find . -type f | sort | xargs md5sum) > back.sums
cmp tree.sums back.sums

step "links"
[ "$(readlink tree/out)" = "$2" ]
refused cat tree/out
ln -s ../big new-link; ln tree/small new-name
[ "$(stat -c %h new-name)" = 2 ]

step "modes"
umask 027; echo x > masked; mkdir masked.d; umask 022
[ "$(stat -c %a masked masked.d | tr '\n' ' ')" = "640 750 " ]
chmod 4751 masked
[ "$(stat -c %a masked)" = 751 ]
echo y > secret; chmod 600 secret; chown 1234:1234 secret

step "rename"
echo old > over; echo new > under
exec 3< over; mv under over
[ "$(cat <&3)" = old ]; exec 3<&-
[ "$(cat over)" = new ]
mv tree/nested/a moved; mkdir -p renamed/deep; mv moved renamed/deep/a; mv renamed renamed2

step "deleted while open"
echo gone > victim; exec 3<> victim; rm victim
echo and >&3; [ "$(cat /proc/self/fd/3 2>/dev/null || echo and)" = and ]; exec 3>&-
[ ! -e victim ]

step "append"
echo one > log; for n in 2 3 4; do echo $n >> log; done
[ "$(cat log | tr '\n' ' ')" = "one 2 3 4 " ]

step "many"
[ $(find many | wc -l) = $(($3 + 1)) ]
[ $(ls -l many | grep -c ^-) = $3 ]
rm -r many
[ ! -e many ]

step "fifo and socket"
mkfifo pipe; (echo through > pipe &); [ "$(cat pipe)" = through ]

step "large"
[ "$(dd if=big bs=1M 2>/dev/null | md5sum)" = "$4  -" ]
dd if=big of=big.copy bs=1M 2>/dev/null; sync
[ "$(dd if=big.copy bs=1M 2>/dev/null | md5sum)" = "$4  -" ]
dd if=big of=sparse bs=4096 count=1 seek=1310720 2>/dev/null
[ "$(stat -c %s sparse)" = 5368713216 ]
: > big.empty; cat big > big.empty; : > big.empty

step "read-only"
[ "$(cat /ro/tree/small)" = small ]
for change in "touch x" "mkdir x" "rm log" "mv log x" "chmod 777 log" "ln -s x x" "ln log x"; do
    cd /ro; refused $change
    grep -q "Read-only" /tmp/error
done
refused sh -c "echo x >> /ro/log"
df . > /dev/null; df /ro > /dev/null
trap - EXIT
echo SHARE DONE
"""


def fill(base: Path, megabytes: int, entries: int) -> str:
    """Make ``rw`` in ``base`` and return the command, for a Guest's shell, that mounts it (tags rw, ro) and works."""
    folder = base / "rw"
    made = random.Random(1)
    (folder / "tree/nested/a").mkdir(parents=True)
    (base / "secret").write_text(SECRET)
    for size in (0, 1, 4095, 4096, 4097, 70_000, 1_000_003):
        (folder / f"tree/nested/a/{size}").write_bytes(made.randbytes(size))
    (folder / "tree/small").write_text("small")
    (folder / "tree/run").write_text("#!/bin/sh\n")
    (folder / "tree/run").chmod(0o755)
    (folder / "tree/nested").chmod(0o750)
    os.utime(folder / "tree/small", (1_000_000_000, 1_000_000_001))
    os.symlink("small", folder / "tree/link")
    os.symlink("nowhere", folder / "tree/dangling")
    os.symlink(base / "secret", folder / "tree/out")
    Path(os.fsdecode(os.fsencode(folder) + b"/tree/b\xff\xfe-y")).write_bytes(b"bytes")
    (folder / "many").mkdir()
    for n in range(entries):
        os.close(os.open(folder / f"many/{n}", os.O_CREAT | os.O_WRONLY))
    digest = hashlib.md5()
    with (folder / "big").open("wb") as file:
        for _ in range(megabytes):
            digest.update(block := made.randbytes(1 << 20))
            file.write(block)
    (folder / "script").write_text(SCRIPT)
    mounts = " && ".join(f"mkdir -p /{tag} && mount -t 9p -o {OPTIONS} {tag} /{tag}" for tag in ("rw", "ro"))
    return f"{mounts} && sh /rw/script /rw {base}/secret {entries} {digest.hexdigest()}"


def picture(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Kind and mode, time and content of all in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(os.readlink(path))
        elif path.is_file():
            content = path.read_bytes()
        when = status.st_mtime if stat.S_ISREG(status.st_mode) else 0
        found[str(path.relative_to(folder))] = (status.st_mode, int(when), content)
    return found


def check(base: Path) -> None:
    """The folder is as the script leaves it."""
    folder = base / "rw"
    tree, back = picture(folder / "tree"), picture(folder / "back")
    moved = {name: value for name, value in back.items() if name.startswith("nested/a")}
    assert {name: value for name, value in back.items() if name not in moved} == tree
    assert {name: value[1:] for name, value in picture(folder / "renamed2/deep").items()} == {
        name.removeprefix("nested/"): value[1:] for name, value in moved.items()
    }
    assert (folder / "back/small").stat().st_mtime == 1_000_000_001
    assert os.readlink(folder / "new-link") == "../big"
    assert (folder / "new-name").samefile(folder / "tree/small")
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("masked", "masked.d", "secret")}
    assert modes == {"masked": 0o751, "masked.d": 0o750, "secret": 0o600}
    assert (folder / "over").read_text() == "new\n"
    assert (folder / "log").read_text() == "one\n2\n3\n4\n"
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)
    assert digest(folder / "big.copy") == digest(folder / "big")
    assert (folder / "sparse").stat().st_size == 5368713216
    assert (folder / "sparse").stat().st_blocks * 512 < 1 << 20
    assert not (folder / "many").exists()
    assert (base / "secret").read_text() == SECRET


def digest(path: Path) -> str:
    """Of a large file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
