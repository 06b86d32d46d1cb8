/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first instructions, in ring 1 with virtual = physical addresses. They register lguest_data with the Host, map the
 * first 4 MiB both at 0 and at KERNEL_OFFSET, load these page tables and jump to the kernel's addresses.
 *
 * Read next: main.c.
 * Next in the book: guest_kernel/cpu/hypercall.h.
 */
#include "offsets.h"
#include "guest_kernel/base/layout.h"

#define E820_LENGTH 8 /* offset in an E820 entry */
#define PTE_FLAGS   3 /* present, writable */

	.section .text.start, "ax"
	.globl start
/* The image's entry point; does not return */
start:
	cld
	movl $(lguest_data - KERNEL_OFFSET), %ebx
	movl $LHCALL_LGUEST_INIT, %eax
	int $HYPERCALL_VECTOR

	/* As many frames as there are, at most one page table of them: the Host ends a Guest that maps more than RAM. */
	movl BOOT_PARAMS_E820_MAP + E820_LENGTH, %ecx
	shrl $PAGE_SHIFT, %ecx
	cmpl $ENTRIES_PER_TABLE, %ecx
	jbe 1f
	movl $ENTRIES_PER_TABLE, %ecx
1:	movl $PTE_FLAGS, %eax
	movl $(boot_page_table - KERNEL_OFFSET), %edi
2:	stosl
	addl $PAGE_SIZE, %eax
	loop 2b
	movl $(boot_page_table - KERNEL_OFFSET + PTE_FLAGS), %eax
	movl %eax, boot_page_directory - KERNEL_OFFSET
	movl %eax, boot_page_directory - KERNEL_OFFSET + (KERNEL_OFFSET >> PDE_SHIFT) * 4

	movl $(boot_page_directory - KERNEL_OFFSET), %ebx
	movl $LHCALL_NEW_PGTABLE, %eax
	int $HYPERCALL_VECTOR
	movl $high, %eax
	jmp *%eax
high:
	movl $(boot_stack + STACK_BYTES), %esp
	xorl %ebp, %ebp
	call guest_main
	ud2

	.section .note.GNU-stack, "", @progbits
