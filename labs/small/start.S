/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first instructions of a small Guest.  It starts in ring 1 with flat segments, without page tables (virtual = physical),
 * and without a stack.
 *
 * Read next: small.h; guest_kernel/main/start.S for a kernel that goes on to page tables.
 */
#include "offsets.h"

#define STACK_BYTES 16384

	.section .text.start, "ax"
	.globl _start
/* The image's entry point; does not return */
_start:
	cld
	movl $stack_end, %esp
	xorl %ebp, %ebp
	movl $LHCALL_LGUEST_INIT, %eax		/* before any other hypercall: where lguest_data is */
	movl $lguest_data, %ebx
	int $HYPERCALL_VECTOR
	call guest_main
	call power_off

	.bss
	.balign 16
	.skip STACK_BYTES
stack_end:

	.section .note.GNU-stack, "", @progbits
