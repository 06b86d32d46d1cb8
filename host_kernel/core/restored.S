/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first instructions of a machine that has the memory of one that was saved.
 * Read before: start.S, host_kernel/machine/saved.S.  Read next: restored.c.
 * Next in the book: restored.c.
 */
#include "offsets.h"
#define MSR_EFER 0xC0000080
#define SAVED(field) saved_processor + SAVED_PROCESSOR_##field

	.text
/*
 * void restore_processor(void), from the first instruction of a machine, with paging off: ebx = struct machine.  The Host
 * kernel's memory is mapped at its own addresses.
 */
	.globl restore_processor
restore_processor:
	movl SAVED(efer), %eax
	testl %eax, %eax
	jz 1f
	xorl %edx, %edx
	movl $MSR_EFER, %ecx
	wrmsr
1:	movl SAVED(cr4), %eax
	movl %eax, %cr4
	movl SAVED(cr3), %eax
	movl %eax, %cr3
	movl SAVED(cr0), %eax
	movl %eax, %cr0
	clts					/* with TS fxrstor faults */
	movl $restore_stack_end, %esp		/* the Host kernel's own is in use */
	pushl %ebx
	call host_restored			/* void host_restored(const struct machine *) */
	fxrstor SAVED(fpu)
	movl SAVED(cr0), %eax
	movl %eax, %cr0
	movl SAVED(ebx), %ebx
	movl SAVED(esi), %esi
	movl SAVED(edi), %edi
	movl SAVED(ebp), %ebp
	movl SAVED(esp), %esp
	movl $1, %eax
	ret

	.bss
	.balign 16
	.skip 4096
restore_stack_end:
