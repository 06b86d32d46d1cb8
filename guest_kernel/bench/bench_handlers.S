/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Minimal trap handlers for the `bench` command: a row measures the way to a handler and back.
 *
 * Read next: bench_traps.c.
 */
#include "offsets.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/bench/bench_handlers.h"

#define PAGE_FAULT_VECTOR 14

	.text
	.globl bench_skip, bench_skip_program, bench_fpu, bench_system_call, bench_clock, bench_spin

bench_skip:
	addl $4, %esp	/* the error code */
	addl $2, (%esp)	/* eip */
	iret

bench_skip_program:
	cmpl $BENCH_CALL, %eax
	jne 1f
	addl $4, %esp	/* the error code */
	addl $2, (%esp)	/* eip */
	movl $GUEST_IF, %ss:lguest_data + LGUEST_DATA_irq_enabled
	iret
1:	jmp *%ss:trap_stubs + 4 * PAGE_FAULT_VECTOR

bench_fpu:
	pushl %eax
	pushl %ebx
	movl $LHCALL_TS, %eax
	xorl %ebx, %ebx
	int $HYPERCALL_VECTOR
	popl %ebx
	popl %eax
	iret

bench_system_call:
	cmpl $BENCH_CALL, %eax
	jne trap_system_call
	iret

bench_clock:
	pushl %eax
	pushl %edx
	lfence
	rdtsc
	movl %eax, bench_arrived
	subl bench_seen, %eax
	movl %eax, bench_gap
	movl $1, bench_fired
	popl %edx
	popl %eax
	iret

/* void bench_spin(void); */
bench_spin:
	cmpl $0, bench_fired
	jne 1f
	rdtsc
	movl %eax, bench_seen
	jmp bench_spin
1:	ret

	.bss
	.balign 4
	.globl bench_seen, bench_arrived, bench_gap, bench_fired
bench_seen:
	.skip 4
bench_arrived:
	.skip 4
bench_gap:
	.skip 4
bench_fired:
	.skip 4

	.section .note.GNU-stack, "", @progbits
