/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Out of a trap handler, back to who asked: a non-local jump for catch.c. Either entry saves the registers a C
 * function must keep and where the stack is; catch_leave goes there.
 */
#include "offsets.h"
#include "guest_kernel/memory/layout.h"

	.text
	.globl catch_call, catch_enter_ring3, catch_leave

/* bool catch_call(const void *start, u32 eax, u32 *save_esp); true: left through catch_leave */
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

/*
 * void catch_enter_ring3(const void *start, u32 eax, u32 *save_esp, void (*trap_stack)(u32 esp));
 * Traps from ring 3 push just below what is live here.
 */
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
	pushl $(GUEST_IF | 2)
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
