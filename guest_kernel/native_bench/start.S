/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first instructions of the kernel that measures the native personality. It is started as any native kernel: in
 * 32-bit protected mode with flat segments. The personality runs it in ring 1.
 *
 * Read next: bench.c.
 */

#define STACK_BYTES 8192

	.text
	.globl start
start:
	cld
	movl $stack_end, %esp
	call native_main
0:	cli
	hlt
	jmp 0b

	.bss
	.balign 16
	.skip STACK_BYTES
stack_end:

	.section .note.GNU-stack, "", @progbits
