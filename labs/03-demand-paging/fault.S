/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a page fault arrives, and accesses that may fault.  Nothing is to be changed here.
 *
 * The stack at fault_entry, from esp up: error code, eip, cs, eflags.  The gate is an interrupt gate, and this Guest takes no
 * interrupts.
 * Read before: lab.h.  Read next: guest_kernel/traps/traps.S.
 */
#include "offsets.h"

#define ERROR 32 /* above what pushal pushes */
#define EIP   36

	.text
	.globl fault_entry
/* Not a function: the Host kernel jumps here, or the Switcher does */
fault_entry:
	pushal
	cld
	movl ERROR(%esp), %eax
	pushl %eax
	pushl lguest_data + LGUEST_DATA_cr2
	call handle_fault
	addl $8, %esp
	testb %al, %al
	jnz 1f
	cmpl $may_fault, EIP(%esp)
	jb wild
	cmpl $may_fault_end, EIP(%esp)
	jae wild
	movl $refused, EIP(%esp)
1:	popal
	addl $4, %esp			/* the error code */
	iret
wild:	ud2				/* a fault of the Guest's own code: it has no handler for this, and is killed */

	.globl try_read
/* bool try_read(const volatile u32 *from, u32 *value) */
try_read:
	movl 4(%esp), %ecx
may_fault:
	movl (%ecx), %eax
	movl 8(%esp), %ecx
	movl %eax, (%ecx)
	jmp 1f

	.globl try_write
/* bool try_write(volatile u32 *to, u32 value) */
try_write:
	movl 4(%esp), %ecx
	movl 8(%esp), %eax
	movl %eax, (%ecx)
may_fault_end:
1:	movl $1, %eax
	ret
refused:
	xorl %eax, %eax
	ret

	.section .note.GNU-stack, "", @progbits
