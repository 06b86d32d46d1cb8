/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A non-local jump out of the trap handler, for catch.c. catch_call and catch_enter_ring3 save the registers that a C
 * function preserves and then esp; catch_leave restores them. After the saves the stack is, from high to low:
 *
 *	20(%esp) and up             the arguments
 *	16(%esp)                    return address
 *	ebp, ebx, esi, edi          the saved registers; *save_esp points to edi
 *
 * catch_enter_ring3 pushes below that the argument of trap_stack(), and then the frame of an iret to ring 3: ss, esp,
 * eflags, cs, eip. That frame is gone by the time a trap pushes its own in the same place.
 */
#include "offsets.h"
#include "guest_kernel/base/layout.h"

	.text
	.globl catch_call, catch_enter_ring3, catch_leave

/* bool catch_call(const void *start, u32 eax, u32 *save_esp): true if it was left through catch_leave */
catch_call:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl 28(%esp), %eax
	movl %esp, (%eax)
	movl 20(%esp), %ecx
	movl 24(%esp), %eax
	call *%ecx
	xorl %eax, %eax
	jmp 1f

/* void catch_leave(u32 esp) */
catch_leave:
	movl 4(%esp), %esp
	movl $GUEST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl $1, %eax
1:	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	cld
	ret

/* void catch_enter_ring3(const void *start, u32 eax, u32 *save_esp, void (*trap_stack)(u32 esp)) */
catch_enter_ring3:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl 28(%esp), %eax
	movl %esp, (%eax)
	pushl %esp
	movl 36(%esp), %eax
	call *%eax
	addl $4, %esp
	movl 20(%esp), %ecx
	movl 24(%esp), %edx
	pushl $USER_DS
	pushl $USER_STACK_TOP
	pushl $(GUEST_IF | EFLAGS_RESERVED)
	pushl $USER_CS
	pushl %ecx
	movl $USER_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %edx, %eax
	xorl %ebx, %ebx
	xorl %ecx, %ecx
	xorl %edx, %edx
	xorl %esi, %esi
	xorl %edi, %edi
	xorl %ebp, %ebp
	iret

	.section .note.GNU-stack, "", @progbits
