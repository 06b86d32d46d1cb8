# SPDX-License-Identifier: GPL-2.0-or-later
"""The system calls of a Launcher that runs a Guest.  All others are refused: EPERM, or ENOSYS where libc goes on then.

There is no way to start a program, to fork, to make a socket or connect one, to look at or signal another process, or
to change what the process may do.  Landlock says which files may be opened; without it a file can be opened for
reading only, unless a share is to be written.
Read next: walls.py.
"""

from __future__ import annotations

import os

from lguest_py.sandbox.seccomp import ERRNO, Check, Filter


def _words(text: str) -> list[str]:
    return text.split()


_DESCRIPTORS = _words("""
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek close close_range dup dup2 dup3
pipe2 pipe fcntl fcntl64 fsync fdatasync ftruncate ftruncate64 fallocate eventfd2 memfd_create flock
epoll_create1 epoll_ctl epoll_wait epoll_pwait poll ppoll ppoll_time64 select pselect6 pselect6_time64 _newselect
""")
_SOCKETS = _words("""
socketpair recvfrom recvmsg recvmmsg sendto sendmsg recv send shutdown getsockopt setsockopt getsockname getpeername
""")
_LOOKING = _words("""
fstat fstat64 stat stat64 lstat lstat64 newfstatat fstatat64 statx statfs statfs64 fstatfs fstatfs64 getdents64
readlink readlinkat access faccessat getcwd
""")
_MEMORY = _words("mmap mmap2 munmap mremap mprotect madvise brk msync mincore membarrier")
_THREADS = _words("""
futex futex_time64 set_robust_list get_robust_list rseq set_tid_address sched_yield sched_getaffinity gettid
exit exit_group
""")
_SIGNALS = _words("""
rt_sigaction rt_sigprocmask rt_sigreturn sigreturn rt_sigtimedwait rt_sigtimedwait_time64 rt_sigpending sigaltstack
restart_syscall setitimer getitimer timer_settime timer_settime64 timer_gettime timer_delete pause
""")
_TIME = _words("""
clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep clock_nanosleep_time64 nanosleep
gettimeofday time times
""")
_SELF = _words("""
getpid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 getgroups
getresuid getresgid getrlimit ugetrlimit getrusage sysinfo uname getrandom wait4 waitid waitpid getcpu
""")
ALWAYS = (*_DESCRIPTORS, *_SOCKETS, *_LOOKING, *_MEMORY, *_THREADS, *_SIGNALS, *_TIME, *_SELF)
MISSING = _words("clone3 openat2 faccessat2 epoll_pwait2 futex_waitv fchmodat2 pidfd_open copy_file_range mseal")
ACCEPTING = ("accept", "accept4")
READING_ATTRIBUTES = _words("fgetxattr flistxattr")
# What a share uses: by descriptors, and names in open folders.  Not truncate: Landlock knows it from Linux 6.2 on only.
CHANGING = _words("""
unlinkat mkdirat mknodat renameat renameat2 linkat symlinkat fchmod fchmodat fchown fchownat utimensat utimensat_time64
fsetxattr fremovexattr
""")
# Of a terminal its modes, size and foreground; of any descriptor its flags; of a block device sizes and discards.
_TERMINAL = 0x5401, 0x5402, 0x5403, 0x5404, 0x802C542A, 0x402C542B, 0x402C542C, 0x402C542D, 0x540F, 0x5413
_ANY = 0x541B, 0x5421, 0x5450, 0x5451
_BLOCK = 0x1268, 0x1277, 0x127F
_TAP = 0x400454D0, 0x400454D8
_KVM = 0xAE00  # the type of all of its ioctls
_THREAD = 0x10000  # CLONE_THREAD
_SET_NAME = 15  # of a thread, by prctl
_WHOLE, _INT = (1 << 64) - 1, (1 << 32) - 1
_CREATES = 0o20000000 | os.O_ACCMODE | os.O_CREAT | os.O_TRUNC  # and the bit that only O_TMPFILE has


def launcher_filter(*, writes: bool, attributes: bool, accepts: bool, tap: bool, kvm: bool) -> Filter:
    """The filter.  ``writes``: there is a share to write to, ``attributes``: there is one; ``accepts``: at sockets.

    Raises lguest_py.sandbox.seccomp.UnavailableError.
    """
    made, own = Filter(), os.getpid()
    made.add(ALWAYS)
    made.add(MISSING, action=ERRNO | 38)  # ENOSYS
    for name, check in _checked(own):
        made.add([name], check)
    made.add(["openat"], *(() if writes else ((2, _CREATES, os.O_RDONLY),)))
    for number in (*_TERMINAL, *_ANY, *_BLOCK, *(_TAP if tap else ())):
        made.add(["ioctl"], (1, _INT, number))
    if kvm:
        made.add(["ioctl"], (1, 0xFF00, _KVM))
    made.add(CHANGING if writes else ())
    made.add(READING_ATTRIBUTES if attributes else ())
    made.add(ACCEPTING if accepts else ())
    return made


def _checked(own: int) -> tuple[tuple[str, Check], ...]:
    """Those of which one argument is looked at: signals to itself, threads, a thread's name, reading its limits."""
    return (
        ("kill", (0, _WHOLE, own)),
        ("tgkill", (0, _WHOLE, own)),
        ("clone", (0, _THREAD, _THREAD)),
        ("prctl", (0, _WHOLE, _SET_NAME)),
        ("prlimit64", (2, _WHOLE, 0)),
    )
