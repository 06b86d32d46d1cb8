/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switch from one task's ring-1 stack to another's. struct first_stack in tasks.c is what a new task's holds.
 * Next in the book: schedule.c.
 */

	.text
	.globl switch_stacks
/* void switch_stacks(u32 *save_esp, u32 load_esp): returns when another switch loads the saved esp */
switch_stacks:
	movl 4(%esp), %eax
	movl 8(%esp), %edx
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, (%eax)
	movl %edx, %esp
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret

	.section .note.GNU-stack, "", @progbits
