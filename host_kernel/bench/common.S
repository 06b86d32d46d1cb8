/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What runs in ring 0 on the Switcher's stack, in either world's page tables: copied to BENCH_CODE, which both map.
 * ss and cs are flat and the Host's in all of it; ds may be anything. Read next: trace.c.
 */
#include "offsets.h"
#include "host_kernel/bench/bench.h"

#define STATE(field) (SWITCHER_STATE_PAGE + LGUEST_STATE_##field)
#define FLAG_TF 0x100

	.section .rodata
	.globl common_start, common_end, common_floor, common_step, common_call

common_start:
/* The least that any world switch by page tables can be: to ring 0, the Host's tables, the Guest's, and back. */
common_floor:
	pushl %eax
	movl %cs:STATE(host_cr3), %eax
	movl %eax, %cr3
	movl %cs:STATE(guest_cr3), %eax
	movl %eax, %cr3
	popl %eax
	iret

/* The debug trap while we trace: note where, if it was in ring 0. Below esp nothing is kept: an NMI may come too. */
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

/* The hypercall's gate while we trace: `int` clears the flag that makes the debug traps. The first comes behind the jmp. */
common_call:
	pushfl
	orl $FLAG_TF, (%esp)
	popfl
	jmp *%cs:BENCH_ORIGINAL
common_end:

	.text
	.globl middle_entry, middle
/* void middle_entry(void);  A gate of the Host's own IDT: notes when it was reached. */
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
