/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chapter: Preparation. A kernel expects a whole machine: it runs in ring 0, where the processor forbids nothing. A
 * hypervisor runs one kernel, the Guest, above another, the Host, which keeps ring 0 for itself. Here the Guest runs in
 * ring 1, so an instruction that could harm the Host faults, and the Host decides what becomes of it. Three programs
 * take part. The Launcher is an ordinary process, in Python, which makes a virtual machine. The Host kernel runs in ring
 * 0 of that machine. The Switcher is the page of code by which the processor goes from the Host kernel to the Guest and
 * back. The book begins with the smallest Guest that there can be, and with what it may ask of its Host.
 *
 * The smallest Guest: a kernel without page tables, interrupts or devices, which says in which ring it is.
 *
 * It starts in ring 1 with flat segments and virtual = physical.  A hypercall is int $0x1f with its number in
 * eax and its arguments in ebx, ecx, edx, esi; switcher/layouts/lguest_abi.h lists them.
 * Read next: boot.py, which builds and boots it; then guest_kernel/main/start.S for a kernel that goes on from here.
 * Picture: docs/pictures/rings.svg.
 * Next in the book: boot.py.
 */
	.text
	.globl _start
_start:
	movl $1, %eax			/* LGUEST_INIT, before any other: where our struct lguest_data is */
	movl $lguest_data, %ebx
	int $0x1f

	movl %cs, %eax			/* the low bits of cs are the ring */
	andb $3, %al
	addb $'0', %al
	movb %al, digit

	movl $17, %eax			/* NOTIFY with the address of a text: print it */
	movl $greeting, %ebx
	int $0x1f

	movl $2, %eax			/* SHUTDOWN; with any other text it would be a panic */
	movl $farewell, %ebx
	movl $1, %ecx
	int $0x1f

	.data
greeting:
	.ascii "hello from ring "
digit:	.ascii "?\nlguest-py: exit status 0\n\0"
farewell:
	.asciz "Power down"

	.balign 4096
lguest_data:				/* what Guest and Host share; the Host writes into some of it */
	.skip 24
	.fill 64, 1, 0xFF		/* 24: the ring of asynchronous calls is empty */
	.skip 1296
	.long 0xC0000000		/* 1384: where all page tables would agree */
	.long 0x80			/* 1388: the vector of system calls */

	.section .note.GNU-stack, "", @progbits
