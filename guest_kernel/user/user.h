/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For code that runs in ring 3: it is linked apart from the kernel and may call only what stands here. No
 * memory_copy, no print, no string that is not a USER_STRING.
 */
#ifndef USER_H
#define USER_H
#include "guest_kernel/memory/layout.h"
#include "guest_kernel/tasks/tasks.h"

#define USER_CODE __attribute__((section(".user.text"), noinline, used, regparm(1)))
#define USER_STATIC __attribute__((section(".user.data")))
#define USER_STRING(name, text) \
	static const char name[] __attribute__((section(".user.rodata"))) = text

static inline __attribute__((always_inline)) u32 system(u32 number, u32 first, u32 second)
{
	__asm__ volatile("int $0x80" : "+a"(number) : "b"(first), "c"(second) : "memory");
	return number;
}

static inline __attribute__((always_inline, noreturn)) void leave(u32 code)
{
	for (;;)
		system(SYS_EXIT, code, 0);
}

/* The programs. Argument 0 of those that take rounds: for ever, with pauses. */
struct program {
	const char *name;
	program *start;
	const char *about;
};
extern const struct program programs[];
extern const u32 program_count;

program program_rings, program_ticker, program_spin, program_fpu, program_tls;

/* How program_fpu and program_tls end. */
#define PROGRAM_OK      0
#define PROGRAM_BAD_X87 1
#define PROGRAM_BAD_SSE 2
#define PROGRAM_BAD_TLS 3

#endif
