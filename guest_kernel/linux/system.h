/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a 32-bit Linux kernel, by int 0x80, for programs without a C library. Calls return the kernel's
 * result: a negative number is an error. Source: Linux's manual, section 2; the structures of i386.
 *
 * Read next: system.c; signals.h for handlers.
 */
#ifndef SYSTEM_H
#define SYSTEM_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

#define PAGE 4096u

s32 system_call(u32 number, const u32 arguments[6]);
/* CALL(number, up to six arguments, each an integer or cast to u32) */
#define CALL(number, ...) system_call(number, (const u32[6]){ __VA_ARGS__ })

/* Errors, positive. */
enum { EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EIO = 5, EAGAIN = 11, EFAULT = 14, EINVAL = 22, ENOSYS = 38, ETIMEDOUT = 110 };

/* Processes. */
enum { NR_EXIT = 1, NR_FORK = 2, NR_READ = 3, NR_WRITE = 4, NR_OPEN = 5, NR_CLOSE = 6, NR_WAITPID = 7, NR_EXECVE = 11,
       NR_GETPID = 20, NR_PTRACE = 26, NR_ALARM = 27, NR_KILL = 37, NR_PIPE = 42, NR_SETPGID = 57, NR_GETRUSAGE = 77,
       NR_GETPPID = 64, NR_MUNMAP = 91, NR_IOPERM = 101, NR_SETITIMER = 104, NR_IOPL = 110, NR_VM86OLD = 113,
       NR_CLONE = 120, NR_MODIFY_LDT = 123, NR_MPROTECT = 125, NR_SCHED_YIELD = 158, NR_NANOSLEEP = 162, NR_MREMAP = 163,
       NR_VM86 = 166, NR_RT_SIGACTION = 174, NR_RT_SIGPROCMASK = 175, NR_RT_SIGPENDING = 176, NR_SIGALTSTACK = 186,
       NR_MMAP2 = 192, NR_GETTID = 224, NR_FUTEX = 240, NR_SET_THREAD_AREA = 243, NR_EXIT_GROUP = 252,
       NR_CLOCK_GETTIME = 265, NR_TGKILL = 270, NR_PERF_EVENT_OPEN = 336 };

void leave(s32 status) __attribute__((noreturn)); /* of all threads */

static inline s32 fork(void) { return CALL(NR_FORK, 0); }
static inline s32 getpid(void) { return CALL(NR_GETPID, 0); }
static inline s32 gettid(void) { return CALL(NR_GETTID, 0); }
static inline s32 yield_cpu(void) { return CALL(NR_SCHED_YIELD, 0); }
static inline s32 kill(s32 pid, s32 signal) { return CALL(NR_KILL, (u32)pid, (u32)signal); }
static inline s32 waitpid(s32 pid, s32 *status, u32 options) { return CALL(NR_WAITPID, (u32)pid, (u32)status, options); }
static inline s32 tgkill(s32 group, s32 tid, s32 signal) { return CALL(NR_TGKILL, (u32)group, (u32)tid, (u32)signal); }
static inline s32 execve(const char *path, char *const *argv, char *const *envp)
{
	return CALL(NR_EXECVE, (u32)path, (u32)argv, (u32)envp);
}

/* What waitpid() tells. */
#define WAIT_ALL 0x40000000u /* threads too */
#define EXITED(status)   (((status) & 0x7F) == 0)
#define EXIT_OF(status)  ((status) >> 8 & 0xFF)
#define STOPPED(status)  (((status) & 0xFF) == 0x7F)
#define STOP_OF(status)  ((status) >> 8)
#define DEATH_OF(status) ((status) & 0x7F) /* the signal that ended it */

/* Files. */
enum { O_RDONLY = 0, O_RDWR = 2 };
static inline s32 open(const char *path, u32 flags) { return CALL(NR_OPEN, (u32)path, flags, 0); }
static inline s32 close(s32 file) { return CALL(NR_CLOSE, (u32)file); }
static inline s32 read(s32 file, void *data, u32 bytes) { return CALL(NR_READ, (u32)file, (u32)data, bytes); }
static inline s32 write(s32 file, const void *data, u32 bytes) { return CALL(NR_WRITE, (u32)file, (u32)data, bytes); }
static inline s32 pipe(s32 ends[2]) { return CALL(NR_PIPE, (u32)ends); }

/* Memory. */
enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4 };
enum { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MREMAP_MAYMOVE = 1 };
static inline void *mmap(void *where, u32 bytes, u32 protection, u32 flags, s32 file, u32 page)
{
	return (void *)CALL(NR_MMAP2, (u32)where, bytes, protection, flags, (u32)file, page);
}
static inline bool map_failed(const void *address) { return (u32)address > -PAGE; }
static inline s32 munmap(void *where, u32 bytes) { return CALL(NR_MUNMAP, (u32)where, bytes); }
static inline s32 mprotect(void *where, u32 bytes, u32 protection)
{
	return CALL(NR_MPROTECT, (u32)where, bytes, protection);
}
static inline void *mremap(void *old, u32 old_bytes, u32 bytes, u32 flags)
{
	return (void *)CALL(NR_MREMAP, (u32)old, old_bytes, bytes, flags);
}

/* Segments: one of the three in the GDT (6-8, or -1 for any), or of the LDT. */
enum { SEGMENT_DATA = 0, SEGMENT_EXPAND_DOWN = 1, SEGMENT_CODE = 2 };
struct segment {
	u32 number, base, limit;
	u32 is_32_bit : 1, contents : 2, read_only : 1, in_pages : 1, absent : 1, usable : 1;
};
static inline s32 set_thread_area(struct segment *segment) { return CALL(NR_SET_THREAD_AREA, (u32)segment); }
static inline s32 ldt_write(const struct segment *segment)
{
	return CALL(NR_MODIFY_LDT, 0x11, (u32)segment, sizeof(*segment));
}

/* Threads. */
enum { CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_THREAD = 0x10000,
       CLONE_SYSVSEM = 0x40000, CLONE_SETTLS = 0x80000, CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000 };
struct thread {
	volatile s32 tid; /* zero when it has ended */
	void *stack;
};
s32 thread_clone(u32 flags, void *stack_end, volatile s32 *tid, const struct segment *tls, void (*run)(void *), void *argument);
bool thread_start(struct thread *thread, const struct segment *tls, void (*run)(void *), void *argument);
void thread_join(struct thread *thread);

enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };
struct time { s32 seconds, ns; };
static inline s32 futex_wait(volatile s32 *word, s32 value, const struct time *limit)
{
	return CALL(NR_FUTEX, (u32)word, FUTEX_WAIT, (u32)value, (u32)limit);
}
static inline s32 futex_wake(volatile s32 *word, u32 count) { return CALL(NR_FUTEX, (u32)word, FUTEX_WAKE, count); }

/* Time. */
enum { CLOCK_MONOTONIC = 1 };
u64 clock_ns(void);
void sleep_ms(u32 ms);

/* Text: %s %c %d %u %x %%, written at once; and what the compiler calls by itself. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *one, const void *other, size_t bytes);
size_t strlen(const char *text);
bool text_same(const char *one, const char *other);
u32 number_of(const char *text); /* the decimal digits that it begins with */

/* Registers the program's main function, which returns the exit status. start.S calls it. */
typedef s32 main_function(u32 argc, char **argv, char **envp);
#define PROGRAM_MAIN(function) \
	static main_function *const registered_main __attribute__((section("program_main"), used)) = function

u32 auxiliary(char **envp, u32 type); /* an entry of the auxiliary vector; 0 where there is none */
#endif
