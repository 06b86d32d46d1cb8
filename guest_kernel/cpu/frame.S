/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way out of the kernel: restore a trap frame.
 *
 * Read next: guest_kernel/traps/traps.S, the way in.
 * Next in the book: guest_kernel/traps/syscalls.c.
 */
#include "offsets.h"
#include "guest_kernel/base/layout.h"

	.text
	.globl trap_return
/* void trap_return(void): esp points to a struct trap_frame; irq_enabled is 0 */
trap_return:
	popal
	popl %ds
	popl %es
	popl %fs
	popl %gs
	addl $8, %esp /* vector and error code */
	pushl %eax
	movl 12(%esp), %eax /* the eflags that iret will load */
	andl $GUEST_IF, %eax
	jmp enable_and_return

	/*
	 * iret in ring 1 does not change the processor's interrupt flag, so irq_enabled is set just before it. The
	 * Host injects nothing in this window: an interrupt before iret would nest one frame deeper each time.
	 */
	.section .text.noirq, "ax"
enable_and_return:
	movl %eax, %ss:lguest_data + LGUEST_DATA_irq_enabled
	popl %eax
	iret

	.globl noirq_spin
/* void noirq_spin(u32 rounds) */
noirq_spin:
	movl 4(%esp), %eax
1:	decl %eax
	jnz 1b
	ret

	.section .note.GNU-stack, "", @progbits
