/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel that `lguest-py bench` starts: the whole Host kernel, with this folder around its run loop.  It measures
 * the world switch and its steps alone: the Guest is a few instructions (stub.S).
 * Reading order: loop.c, run.c, world.c, steps.c, calls.c, walks.c, trace.c.
 */
#ifndef HOST_KERNEL_BENCH_BENCH_H
#define HOST_KERNEL_BENCH_BENCH_H

/* Guest-physical, in the linear map. */
#define STUB_CODE    0x4000 /* stub.S */
#define STUB_INTS    0x5000 /* a page of nothing but hypercalls */
#define STUB_SAMPLES 0x6000
#define STUB_DATA    0x7000 /* struct lguest_data */

/* In the Switcher's 4 MiB, mapped in both worlds: code that runs in the middle of a world switch, and its data. */
#define BENCH_CODE  0xFFC08000 /* common.S */
#define BENCH_WORDS 0xFFC09000 /* the eips of traced instructions: a count, then each */
#define BENCH_INDEX 8
#define WORDS_PAGES 4
#define WORDS_MOST  4000
#define BENCH_ORIGINAL  0xFFC0D000 /* in a page of its own: the original handler of the hypercall's gate */

#define FLOOR_VECTOR  0x40 /* from ring 1 */
#define MIDDLE_VECTOR 0x41 /* from ring 0 */
#define DEBUG_VECTOR  1

#ifndef __ASSEMBLER__
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "switcher/layouts/lguest_abi.h"
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/base/print.h"

/* loop.c */
void run_loop(void) __attribute__((noreturn)); /* run() of the Host kernel */
u64 *host_gates(void);
void set_host_gate(u32 vector, u32 address);

/* stub.S; in_guest: its address in the Guest */
extern const u8 stub_start[], stub_end[], stub_floor[], stub_calls[], stub_counted[];
static inline u32 in_guest(const u8 *label)
{
	return STUB_CODE + (label - stub_start);
}
/* The samples of a stub, with those of the warm-up. */
static inline const u32 *stub_samples(void)
{
	return (const u32 *)(machine.guest_base + STUB_SAMPLES);
}

/* common.S; in_common: its address at BENCH_CODE */
extern const u8 common_start[], common_end[], common_floor[], common_step[], common_call[];
static inline u32 in_common(const u8 *label)
{
	return BENCH_CODE + (label - common_start);
}

/* world.c */
void world_init(void);
void guest_runs(u32 eip);
void world_row(void);
void floor_row(void);

/* steps.c */
void steps_rows(void);
void wall_rows(void);

/* calls.c */
void calls_rows(void) __attribute__((noreturn));

/* walks.c */
void walks_begin(void);
u32 walks_end(void);

/* trace.c */
struct loads {
	u32 cr3, segments, tables;
};
void trace_begin(void);
struct loads trace_end(void);
void print_counts(const char *name, struct loads loads, u32 walks);
#endif
#endif
