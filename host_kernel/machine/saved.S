/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Save the processor's own state in memory, to go on from there in another machine that has the same memory.
 * Read before: saved.c.  Read next: host_kernel/core/restored.S.
 * Next in the book: host_kernel/core/restored.S.
 */
#include "offsets.h"
#define SAVED(field) saved_processor + SAVED_PROCESSOR_##field

	.text
/*
 * bool save_processor(void);
 *
 * Returns false.  In a machine that was restored it returns again: true.
 */
	.globl save_processor
save_processor:
	movl %ebx, SAVED(ebx)
	movl %esi, SAVED(esi)
	movl %edi, SAVED(edi)
	movl %ebp, SAVED(ebp)
	movl %esp, SAVED(esp)
	movl %cr3, %eax
	movl %eax, SAVED(cr3)
	movl %cr4, %eax
	movl %eax, SAVED(cr4)
	movl %cr0, %eax
	movl %eax, SAVED(cr0)
	clts					/* with TS fxsave faults */
	fxsave SAVED(fpu)
	movl %eax, %cr0
	xorl %eax, %eax
	ret
