/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel that sleeps by sti and hlt until its clock's one interrupt.  The hlt is the first byte of a page that
 * the shadow page tables lack each time, so that the interrupt often comes when the Host kernel is between the two.  An
 * interrupt before the hlt would be lost for it, and nothing else wakes the kernel.  At the end it powers off; a check that
 * fails halts it with the check's number in eax.  Run by tests/native/test_native_sti_hlt.py.
 */
#define CODE 0x10
#define DATA 0x18
#define CLOCK 0x20 /* a vector */
#define PAGE_USED 0x67 /* the flags of a page-table entry; without the last the first access to the page faults: */
#define PAGE_NOT_USED 0x47

#include "tests/lab/small_kernel.h"

	.text
	.globl	start
start:
	cld
	GATE	CLOCK, clock
	LOAD_SEGMENTS
	movl	$table + PAGE_USED, directory	/* the first 4 MiB where they are */
	movl	$PAGE_USED, %eax
	movl	$table, %edi
3:	stosl
	addl	$4096, %eax
	cmpl	$0x400000, %eax
	jb	3b
	movl	$directory, %eax
	movl	%eax, %cr3
	movl	$0x80010033, %eax
	movl	%eax, %cr0
	CLOCK_INTERRUPT CLOCK
	movl	$ROUNDS, %ebp
round:
	movl	$sleeping, %eax
	movl	%eax, %edi
	shrl	$12, %edi
	orl	$PAGE_NOT_USED, %eax
	movl	%eax, table(, %edi, 4)
	invlpg	sleeping
	movl	$0, count
	OUT	0x43, 0x30		/* once, after some microseconds: in each round others */
	movl	%ebp, %eax
	andb	$MOST_TICKS - 1, %al
	incb	%al
	outb	%al, $0x40
	OUT	0x40, 0
	call	sleep
	cmpl	$1, count
	CHECK	e, 1
	pushfl
	popl	%eax
	cli
	testl	$0x200, %eax
	CHECK	nz, 2
	decl	%ebp
	jnz	round
	POWER_OFF

clock:
	incl	count
	iret

	.balign	4096
	.space	4095
sleep:	sti
sleeping:
	hlt
	ret

	.data
count:	.long	0
gdt_pointer:	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:	.word	8 * 0x22 - 1
	.long	idt
	.balign	4096
gdt:	.quad	0, 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
gdt_end:
	.balign	4096
idt:	.space	8 * 0x22
	.balign	4096
directory:
	.space	4096
table:	.space	4096
	.space	4096
stack_end:
