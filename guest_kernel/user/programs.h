/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring-3 programs. */
#ifndef PROGRAMS_H
#define PROGRAMS_H
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"

struct program {
	const char *name;
	program *start;
	const char *about;
};
extern const struct program programs[];
extern const u32 program_count;

/* program_fpu and program_tls take a number of rounds; with 0 they never exit and sleep between rounds. */
program program_rings, program_ticker, program_spin, program_fpu, program_tls;

/* Their exit codes. */
#define PROGRAM_OK      0
#define PROGRAM_BAD_X87 1
#define PROGRAM_BAD_SSE 2
#define PROGRAM_BAD_TLS 3

#endif
