/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows that measure in ring 3. */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"

/* A gate for the time of a row. */
struct bench_gate {
	u32 vector;
	const char *handler;
	u32 type_and_dpl;
};

/* Runs a program that stores BENCH_ROUNDS samples from BENCH_PAGES on, and adds them. */
void bench_program(program *start, struct bench_gate gate);

#endif
