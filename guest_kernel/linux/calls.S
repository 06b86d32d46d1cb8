/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls by int 0x80, and those after which C code cannot go on by itself: clone and sigreturn.
 * Source: Linux's syscall(2), clone(2), sigreturn(2).
 *
 * Read next: system.h.
 */
#define SYSTEM_CALL_VECTOR 0x80
#define NR_EXIT 1
#define NR_CLONE 120
#define NR_RT_SIGRETURN 173
#define RUN_FRAME 20 /* return address and argument of `run`, at which the stack has the ABI's alignment */

	.text
	.globl system_call
/* s32 system_call(u32 number, const u32 arguments[6]) */
system_call:
	pushl %ebp
	pushl %edi
	pushl %esi
	pushl %ebx
	movl 20(%esp), %eax
	movl 24(%esp), %ebp
	movl (%ebp), %ebx
	movl 4(%ebp), %ecx
	movl 8(%ebp), %edx
	movl 12(%ebp), %esi
	movl 16(%ebp), %edi
	movl 20(%ebp), %ebp
	int $SYSTEM_CALL_VECTOR
	popl %ebx
	popl %esi
	popl %edi
	popl %ebp
	ret

	.globl thread_clone
/* s32 thread_clone(u32 flags, void *stack_end, s32 *tid, const struct segment *tls, void (*run)(void *), void *argument) */
thread_clone:
	pushl %edi
	pushl %esi
	pushl %ebx
	movl 16(%esp), %ebx
	movl 20(%esp), %ecx
	movl 24(%esp), %edx
	movl 28(%esp), %esi
	movl 24(%esp), %edi
	subl $RUN_FRAME, %ecx
	movl 32(%esp), %eax
	movl %eax, (%ecx)
	movl 36(%esp), %eax
	movl %eax, 4(%ecx)
	movl $NR_CLONE, %eax
	int $SYSTEM_CALL_VECTOR
	testl %eax, %eax
	jz 1f
	popl %ebx
	popl %esi
	popl %edi
	ret
1:	xorl %ebp, %ebp /* the new thread, on its own stack */
	popl %eax
	call *%eax
	xorl %ebx, %ebx
	movl $NR_EXIT, %eax
	int $SYSTEM_CALL_VECTOR
	ud2

	.globl signal_return
/* void signal_return(void): where a signal handler returns to */
signal_return:
	movl $NR_RT_SIGRETURN, %eax
	int $SYSTEM_CALL_VECTOR
	ud2

	.section .note.GNU-stack, "", @progbits
