/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way into the kernel. Each vector has a stub, which pushes 0 if the processor pushes no error code, and then the
 * vector. The stack then grows down to a struct trap_frame:
 *
 *	ss, esp                     only from ring 3
 *	eflags, cs, eip             by the processor or the Host
 *	error code                  by the processor, the Host or the stub
 *	vector                      by the stub
 *	gs, fs, es, ds              by trap_common
 *	eax, ecx, edx, ebx,         by pushal
 *	esp (unused), ebp, esi, edi
 *	&frame                      trap()'s argument
 *
 * Read next: traps.c; guest_kernel/cpu/frame.S for the way out.
 * Next in the book: traps.c.
 */
#include "offsets.h"
#include "guest_kernel/base/layout.h"

	.text

	/* Vectors 8, 10 to 14 and 17 have an error code. */
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
	.rept TRAP_STUBS
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
	jmp trap_return

	.section .rodata
	.balign 4
	.globl trap_stubs
trap_stubs:
	.set i, 0
	.rept TRAP_STUBS
	ENTRY_OF %i
	.set i, i + 1
	.endr

	.section .note.GNU-stack, "", @progbits
