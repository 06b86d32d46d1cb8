/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chapter: The Host. The Host kernel has ring 0 of the machine, and one purpose: to run a Guest in ring 1. The first
 * files bring the processor up. Then comes the run loop, which is short, and around it what an exit can mean: a
 * hypercall, an exception, an interrupt, a page fault. The largest part is memory. The processor never uses a page table
 * that the Guest wrote, only a shadow of it that the Host kernel checked, entry by entry.
 *
 * The Host kernel's first instruction.
 * Entered as switcher/layouts/machine.h says: 32-bit protected mode, flat segments, paging off, ebx = struct machine.
 * Read next: host_kernel/core/main.c.
 * Next in the book: main.c.
 */
#include "offsets.h"

	.section .text.start, "ax"
	.globl _start
_start:
	cli
	cld
	cmpl $0, MACHINE_restored(%ebx)
	jne restore_processor
	movl $boot_stack_end, %esp
	pushl %ebx
	call host_main			/* void host_main(const struct machine *) */
0:	hlt
	jmp 0b

	.section .bss.stack, "aw", @nobits	/* host_kernel.ld says where it ends */
	.balign 4096
	.skip 16384
