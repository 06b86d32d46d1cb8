/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that runs in ring 0 on the Switcher's stack, with either world's page tables: copied to BENCH_CODE, which both map.
 * cs and ss are the Host's flat segments; ds is unknown.  Read next: trace.c.
 */
#include "offsets.h"
#include "host_kernel/bench/bench.h"

#define STATE(field) (SWITCHER_STATE_PAGE + LGUEST_STATE_##field)
#define FLAG_TF 0x100

	.section .rodata
	.globl common_start, common_end, common_floor, common_step, common_call

common_start:
/* The minimum of a world switch: to ring 0, load the Host's CR3, load the Guest's, and back. */
common_floor:
	pushl %eax
	movl %cs:STATE(host_cr3), %eax
	movl %eax, %cr3
	movl %cs:STATE(guest_cr3), %eax
	movl %eax, %cr3
	popl %eax
	iret

/* The debug trap during a trace: record eip, if it was in ring 0. */
common_step:
	pushl %eax
	pushl %edx
	testb $3, 12(%esp)
	jnz 1f
	movl %ss:BENCH_WORDS, %eax
	cmpl $WORDS_MOST, %eax
	jae 1f
	movl 8(%esp), %edx
	movl %edx, %ss:BENCH_WORDS + 4(, %eax, 4)
	incl %ss:BENCH_WORDS
1:	popl %edx
	popl %eax
	iret

/* The hypercall's gate during a trace: `int` cleared TF, so set it again.  The first debug trap is after the jmp. */
common_call:
	pushfl
	orl $FLAG_TF, (%esp)
	popfl
	jmp *%cs:BENCH_ORIGINAL
common_end:

	.text
	.globl middle_entry, middle
/* void middle_entry(void);  A handler in the Host's IDT: records its time. */
middle_entry:
	lfence
	rdtsc
	lfence
	movl %eax, middle
	iret

	.bss
	.balign 4
middle:
	.skip 4
