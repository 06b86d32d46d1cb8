/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Run code that faults, and see which signal came of it.  Read next: probe.c, test_faults.c. */
#ifndef PROBE_H
#define PROBE_H
#include "guest_kernel/linux/check/check.h"

struct fault {
	s32 signal; /* 0: there was none */
	s32 code;
	u32 address, trap, error, esp, eflags, value; /* value: eax */
	s32 distance; /* of eip from the instruction that was to fault */
};

struct fault fault_of(void (*code)(u32), u32 argument);
struct fault fault_reading(const void *address);
struct fault fault_writing(void *address);

/* A function that executes what may fault; argument is in eax. */
#define PROBED(identifier, instruction)                                                                \
	static void identifier(u32 argument)                                                           \
	{                                                                                              \
		__asm__ volatile("movl $100f, probe_at\n100:\t" instruction                            \
				 : "+a"(argument) : : "ebx", "ecx", "edx", "esi", "edi", "memory", "cc"); \
	}

extern u32 probe_at;

/* What the row of a table wants. */
struct wanted_fault {
	const char *what;
	void (*code)(u32);
	u32 argument;
	s32 signal, code_wanted;
	u32 trap, error;
	s32 distance; /* 0, but for traps, which are told behind the instruction */
};
void check_faults(const struct wanted_fault *rows, u32 count);
#define CHECK_FAULTS(rows) check_faults(rows, sizeof(rows) / sizeof(*(rows)))

/* Signals are taken on a stack of their own from here on. */
void probe_prepare(void);
#endif
