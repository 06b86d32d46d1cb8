/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring-3 programs. All are in the kernel's image; each task has its own data.
 *
 * Read next: snippets.S, the programs that fault.
 * Next in the book: guest_kernel/cpu/power.c.
 */
#include "guest_kernel/user/programs.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/user/user.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define TICK_MS     1000
#define PAUSE_MS    500
#define SPIN_LOOPS  20000
#define TLS_WORDS   64
#define CPUID_SSE2  26   /* bit of leaf 1, edx; movd needs it */
#define VALUE_BASE  1000 /* a value in the FPU that differs from those of the kernel */

USER_STRING(rings_start, "its programs, ring ");

/* Prints the ring that it runs in. */
USER_CODE void program_rings(u32 argument)
{
	u32 cs;
	char digit[2];
	(void)argument;
	__asm__("mov %%cs, %0" : "=r"(cs));
	digit[0] = (char)('0' + (cs & 3));
	digit[1] = '\n';
	user_call(SYS_WRITE, (u32)rings_start, sizeof(rings_start) - 1);
	user_call(SYS_WRITE, (u32)digit, 2);
	user_exit(PROGRAM_OK);
}

/* Sleeps a second at a time and never exits. */
USER_CODE void program_ticker(u32 argument)
{
	(void)argument;
	for (;;)
		user_call(SYS_SLEEP, TICK_MS, 0);
}

/* Makes no system call, so that only preemption ends its time slice. */
USER_CODE void program_spin(u32 argument)
{
	(void)argument;
	for (;;)
		__asm__ volatile("" : : : "memory");
}

static inline __attribute__((always_inline)) void between_rounds(u32 rounds, u32 round)
{
	if (!rounds) {
		user_call(SYS_SLEEP, PAUSE_MS, 0);
	} else if (round & 1) {
		user_call(SYS_YIELD, 0, 0);
	} else {
		for (u32 i = 0; i < SPIN_LOOPS; i++)
			__asm__ volatile("" : : : "memory");
	}
}

/* Keeps a value of its own in FPU registers and checks it each round. */
USER_CODE void program_fpu(u32 rounds)
{
	u32 own = user_call(SYS_GETPID, 0, 0) + VALUE_BASE, x87, sse, features, unused;
	__asm__ volatile("cpuid" : "=a"(unused), "=d"(features) : "a"(1) : "ebx", "ecx");
	bool has_sse = features >> CPUID_SSE2 & 1;
	__asm__ volatile("fninit; fildl %0" : : "m"(own));
	if (has_sse)
		__asm__ volatile("movd %0, %%xmm5" : : "r"(own));
	for (u32 round = 1; !rounds || round <= rounds; round++) {
		between_rounds(rounds, round);
		__asm__ volatile("fistl %0" : "=m"(x87));
		if (x87 != own)
			user_exit(PROGRAM_BAD_X87);
		sse = own;
		if (has_sse)
			__asm__ volatile("movd %%xmm5, %0" : "=r"(sse));
		if (sse != own)
			user_exit(PROGRAM_BAD_SSE);
	}
	user_exit(PROGRAM_OK);
}

static u32 own_words[TLS_WORDS] USER_STATIC = { 0 };

/* Loads a segment over a word that holds its task id, and checks the word through gs each round. */
USER_CODE void program_tls(u32 rounds)
{
	u32 own = user_call(SYS_GETPID, 0, 0), seen;
	u32 selector = user_call(SYS_SET_TLS, (u32)&own_words[own % TLS_WORDS], 0);
	own_words[own % TLS_WORDS] = own;
	__asm__ volatile("mov %0, %%gs" : : "r"(selector));
	for (u32 round = 1; !rounds || round <= rounds; round++) {
		between_rounds(rounds, round);
		__asm__ volatile("movl %%gs:0, %0" : "=r"(seen));
		if (seen != own)
			user_exit(PROGRAM_BAD_TLS);
	}
	user_exit(PROGRAM_OK);
}

const struct program programs[] = {
	{ "rings", program_rings, "print the ring it runs in" },
	{ "ticker", program_ticker, "sleep a second at a time" },
	{ "spin", program_spin, "use the processor without a pause" },
	{ "fpu", program_fpu, "keep a value in FPU registers" },
	{ "tls", program_tls, "keep a value in a TLS segment" },
};
const u32 program_count = sizeof(programs) / sizeof(programs[0]);
