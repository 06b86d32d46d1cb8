/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs: small, but each shows something. All are in the kernel's image; each task has its own data.
 *
 * Read next: user_snippets.S, the ones that break.
 */
#include "guest_kernel/user/user.h"

#define PAUSE_MS 500
#define SPIN     20000

USER_STRING(rings_start, "its programs, ring ");

/* Says in which ring it runs. */
USER_CODE void program_rings(u32 argument)
{
	u32 cs;
	char digit[2];
	(void)argument;
	__asm__("mov %%cs, %0" : "=r"(cs));
	digit[0] = (char)('0' + (cs & 3));
	digit[1] = '\n';
	system(SYS_WRITE, (u32)rings_start, sizeof(rings_start) - 1);
	system(SYS_WRITE, (u32)digit, 2);
	leave(PROGRAM_OK);
}

/* Sleeps, for ever, a second at a time. */
USER_CODE void program_ticker(u32 argument)
{
	(void)argument;
	for (;;)
		system(SYS_SLEEP, 1000, 0);
}

/* Never calls the kernel: only the clock takes the processor from it. */
USER_CODE void program_spin(u32 argument)
{
	(void)argument;
	for (;;)
		__asm__ volatile("" : : : "memory");
}

static inline __attribute__((always_inline)) void pass(u32 rounds, u32 round)
{
	if (!rounds) {
		system(SYS_SLEEP, PAUSE_MS, 0);
	} else if (round & 1) {
		system(SYS_YIELD, 0, 0);
	} else {
		for (u32 i = 0; i < SPIN; i++)
			__asm__ volatile("" : : : "memory");
	}
}

/* Keeps its own number in FPU registers, and looks whether they still hold it. */
USER_CODE void program_fpu(u32 rounds)
{
	u32 own = system(SYS_GETPID, 0, 0) + 1000, x87, sse, features, unused;
	__asm__ volatile("cpuid" : "=a"(unused), "=d"(features) : "a"(1) : "ebx", "ecx");
	bool has_sse = features >> 26 & 1; /* SSE2, for movd */
	__asm__ volatile("fninit; fildl %0" : : "m"(own));
	if (has_sse)
		__asm__ volatile("movd %0, %%xmm5" : : "r"(own));
	for (u32 round = 1; !rounds || round <= rounds; round++) {
		pass(rounds, round);
		__asm__ volatile("fistl %0" : "=m"(x87));
		if (x87 != own)
			leave(PROGRAM_BAD_X87);
		sse = own;
		if (has_sse)
			__asm__ volatile("movd %%xmm5, %0" : "=r"(sse));
		if (sse != own)
			leave(PROGRAM_BAD_SSE);
	}
	leave(PROGRAM_OK);
}

static u32 own_words[64] USER_STATIC = { 0 };

/* Has a segment of its own over one of several words, and reads its number through it. */
USER_CODE void program_tls(u32 rounds)
{
	u32 own = system(SYS_GETPID, 0, 0), seen;
	u32 selector = system(SYS_SET_TLS, (u32)&own_words[own % 64], 0);
	own_words[own % 64] = own;
	__asm__ volatile("mov %0, %%gs" : : "r"(selector));
	for (u32 round = 1; !rounds || round <= rounds; round++) {
		pass(rounds, round);
		__asm__ volatile("movl %%gs:0, %0" : "=r"(seen));
		if (seen != own)
			leave(PROGRAM_BAD_TLS);
	}
	leave(PROGRAM_OK);
}

const struct program programs[] = {
	{ "rings", program_rings, "print the ring it runs in" },
	{ "ticker", program_ticker, "sleep a second at a time, for ever" },
	{ "spin", program_spin, "use the processor, for ever" },
	{ "fpu", program_fpu, "keep a number in FPU registers" },
	{ "tls", program_tls, "keep a number behind a TLS segment" },
};
const u32 program_count = sizeof(programs) / sizeof(programs[0]);
