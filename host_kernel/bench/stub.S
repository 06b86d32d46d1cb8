/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest of the benchmark: copied to STUB_CODE in its memory, it runs in ring 1 without page tables of its own.
 * The clock is read as in guest_kernel/bench/bench_samples.h. Read next: common.S.
 */
#include "offsets.h"
#include "host_kernel/bench/bench.h"
#include "guest_kernel/bench/bench_samples.h"

	.section .rodata
	.globl stub_start, stub_end, stub_floor, stub_calls, stub_counted

/* BENCH_ROUNDS times an operation; the times are stored at STUB_SAMPLES.  Clobbers all but ebx. */
.macro SAMPLES_OF operation:vararg
	movl $STUB_SAMPLES, %edi
	movl $(STUB_SAMPLES + 4 * BENCH_ROUNDS), %ebp
9:	lfence
	rdtsc
	lfence
	movl %eax, %esi
	\operation
	lfence
	rdtsc
	lfence
	subl %esi, %eax
	movl %eax, (%edi)
	addl $4, %edi
	cmpl %ebp, %edi
	jne 9b
.endm

.macro NULL_CALL
	xorl %eax, %eax
	int $HYPERCALL_VECTOR
.endm

stub_start:
stub_floor:
	SAMPLES_OF int $FLOOR_VECTOR
	int $HYPERCALL_VECTOR

stub_calls:
	movl $LHCALL_LGUEST_INIT, %eax
	movl $STUB_DATA, %ebx
	int $HYPERCALL_VECTOR
	SAMPLES_OF NULL_CALL
	movl $LHCALL_HALT, %eax
	int $HYPERCALL_VECTOR

stub_counted:
	movl $64, %ebp
1:	NULL_CALL
	decl %ebp
	jnz 1b
	movl $LHCALL_HALT, %eax
	int $HYPERCALL_VECTOR
stub_end:
