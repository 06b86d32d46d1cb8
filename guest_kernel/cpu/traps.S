/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Into the kernel and out again. Each vector's stub evens out the error code and pushes its number.
 *
 * Read next: traps.c.
 */
#include "offsets.h"
#include "guest_kernel/memory/layout.h"

	.text

	/* Vectors 8, 10 to 14 and 17 come with an error code. */
	.macro STUB vector
stub_\vector:
	.if (\vector != 8) && (\vector < 10 || \vector > 14) && (\vector != 17)
	pushl $0
	.endif
	pushl $\vector
	jmp trap_common
	.endm

	.altmacro
	.macro STUB_OF number
	STUB \number
	.endm
	.macro ENTRY_OF number
	.long stub_\number
	.endm
	.set i, 0
	.rept STUBS
	STUB_OF %i
	.set i, i + 1
	.endr

	.globl trap_system_call
trap_system_call:
	pushl $0
	pushl $SYSTEM_CALL_VECTOR

trap_common:
	pushl %gs
	pushl %fs
	pushl %es
	pushl %ds
	pushal
	cld
	movl $GUEST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	pushl %esp
	call trap
	addl $4, %esp

	/* void trap_return(void): esp points to a struct frame; irq_enabled is 0. */
	.globl trap_return
trap_return:
	popal
	popl %ds
	popl %es
	popl %fs
	popl %gs
	addl $8, %esp
	pushl %eax
	movl 12(%esp), %eax /* the eflags that iret will load */
	andl $GUEST_IF, %eax
	/*
	 * The real flag does not change at iret in ring 1, so irq_enabled is set just before it, and the Host
	 * delivers nothing until we are past noirq_end: or each interrupt would nest deeper on this stack.
	 */
	.globl noirq_start, noirq_end, noirq_spin
noirq_start:
	movl %eax, %ss:lguest_data + LGUEST_DATA_irq_enabled
	popl %eax
	iret

	/* void noirq_spin(u32 rounds); */
noirq_spin:
	movl 4(%esp), %eax
1:	decl %eax
	jnz 1b
	ret
noirq_end:

	.section .rodata
	.balign 4
	.globl trap_stubs
trap_stubs:
	.set i, 0
	.rept STUBS
	ENTRY_OF %i
	.set i, i + 1
	.endr

	.section .note.GNU-stack, "", @progbits
