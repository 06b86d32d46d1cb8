/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Minimal trap handlers, so that a row measures the way to a handler and back. */
#ifndef BENCH_HANDLERS_H
#define BENCH_HANDLERS_H

#define BENCH_CALL 0xBE4C /* the number of a system call that does nothing */

#ifndef __ASSEMBLER__
#include "switcher/layouts/types.h"

extern const char bench_skip[];        /* page fault: skips the two-byte instruction */
extern const char bench_skip_program[]; /* the same if eax is BENCH_CALL; other faults go to the kernel */
extern const char bench_fpu[];         /* trap 7: clears TS */
extern const char bench_system_call[]; /* BENCH_CALL returns at once; other calls go to the kernel */
extern const char bench_clock[];       /* the clock: sets the variables below */
void bench_spin(void);                 /* until that interrupt */

/* Ticks: the last in bench_spin(), the first in bench_clock, the difference. bench_fired: the interrupt came. */
extern volatile u32 bench_seen, bench_arrived, bench_gap, bench_fired;
#endif

#endif
