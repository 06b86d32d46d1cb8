/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entry point of a Linux program without a C library. It calls the function that the program registered by
 * PROGRAM_MAIN. Source: System V ABI, i386 supplement, "Process Initialization".
 *
 * Read next: system.h.
 */

	.text
	.globl _start
/* The kernel passes argc, argv, envp and the auxiliary vector on the stack; each array but the last ends with a null */
_start:
	xorl %ebp, %ebp
	movl (%esp), %eax
	leal 4(%esp), %ecx
	leal 8(%esp, %eax, 4), %edx
	andl $-16, %esp
	pushl $0
	pushl %edx
	pushl %ecx
	pushl %eax
	call *program_main
	pushl %eax
	call leave

	.section .note.GNU-stack, "", @progbits
