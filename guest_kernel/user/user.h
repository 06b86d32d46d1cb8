/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For code that runs in ring 3. It is linked apart from the kernel and can call only what is defined here: no
 * memory_copy(), no print(), no string except a USER_STRING.
 *
 * Read next: programs.c.
 */
#ifndef USER_H
#define USER_H
#include "guest_kernel/base/layout.h"
#include "switcher/layouts/types.h"

#define USER_CODE __attribute__((section(".user.text"), noinline, used, regparm(1)))
#define USER_STATIC __attribute__((section(".user.data")))
#define USER_STRING(name, text) \
	static const char name[] __attribute__((section(".user.rodata"))) = text

static inline __attribute__((always_inline)) u32 user_call(u32 number, u32 first, u32 second)
{
	__asm__ volatile("int %1" : "+a"(number) : "i"(SYSTEM_CALL_VECTOR), "b"(first), "c"(second) : "memory");
	return number;
}

static inline __attribute__((always_inline, noreturn)) void user_exit(u32 code)
{
	for (;;)
		user_call(SYS_EXIT, code, 0);
}

#endif
