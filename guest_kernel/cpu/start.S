/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first instructions: ring 1, virtual = physical. Tell the Host where lguest_data is, build page tables
 * that show the first 4 MiB at 0 and at KERNEL_OFFSET, load them, and go on at the kernel's own addresses.
 *
 * Read next: main.c.
 */
#include "offsets.h"
#include "guest_kernel/memory/layout.h"

	.section .text.start, "ax"
	.globl start
/* The image's entry point; it does not return. */
start:
	cld
	movl $(lguest_data - KERNEL_OFFSET), %ebx
	movl $LHCALL_LGUEST_INIT, %eax
	int $HYPERCALL_VECTOR

	/* A table of all frames there are, at most 1024: one beyond RAM would be an offence when used. */
	movl BOOT_PARAMS_E820_MAP + 8, %ecx
	shrl $12, %ecx
	cmpl $1024, %ecx
	jbe 1f
	movl $1024, %ecx
1:	movl $3, %eax
	movl $(boot_table - KERNEL_OFFSET), %edi
2:	stosl
	addl $4096, %eax
	loop 2b
	movl $(boot_table - KERNEL_OFFSET + 3), %eax
	movl %eax, boot_directory - KERNEL_OFFSET
	movl %eax, boot_directory - KERNEL_OFFSET + (KERNEL_OFFSET >> 22) * 4

	movl $(boot_directory - KERNEL_OFFSET), %ebx
	movl $LHCALL_NEW_PGTABLE, %eax
	int $HYPERCALL_VECTOR
	movl $high, %eax
	jmp *%eax
high:
	movl $(boot_stack + STACK_BYTES), %esp
	xorl %ebp, %ebp
	call guest_main
	ud2

	.section .bss.pages, "aw", @nobits
	.balign 4096
	.globl boot_directory, boot_stack
boot_directory:
	.skip 4096
boot_table:
	.skip 4096
boot_stack:
	.skip STACK_BYTES

	.section .note.GNU-stack, "", @progbits
