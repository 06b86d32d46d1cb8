/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel, small and with paging off or on, whose GDT and IDT share a page with its stack and with memory
 * that it stores to all the time.  At the end it powers off; a check that fails halts it with the check's number in eax.
 * WRITES: it also changes its tables.  Run by tests/native/test_native_write_protect.py.
 */
#define CODE 0x10
#define DATA 0x18
#define OTHER 0x20 /* data from other_word on */
#define NEW   0x28 /* data, made while it runs */
#define TWIN  0x30 /* code, as CODE */
#define THREE 0x38 /* and two more: data, stored together again and again */
#define OTHER_WORD 0x11111111
#define NEW_WORD   0x22222222
#define NEWER_WORD 0x33333333
#define ROUNDS 20000
#ifndef CHANGES
#define CHANGES 1
#endif
#define EFLAGS_TF 0x100
#define EFLAGS_IF 0x200

#include "tests/lab/small_kernel.h"

	/* Make a data segment at this address, and a gate to this routine: by plain stores. */
	.macro	SEGMENT selector, address
	movl	$\address, %eax
	movw	$0x0FFF, gdt + \selector
	movw	%ax, gdt + \selector + 2
	shrl	$16, %eax
	movb	%al, gdt + \selector + 4
	movb	%ah, gdt + \selector + 7
	movb	$0x40, gdt + \selector + 6
	movb	$0x93, gdt + \selector + 5
	.endm

	.text
	.globl	start
start:
	cld
	SEGMENT	OTHER, other_word
	GATE	11, absent_gate
	GATE	0x21, counting_gate
	LOAD_SEGMENTS
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
#if PAGING
	movl	$0x83, directory	/* the first 4 MiB where they are */
	movl	$directory, %eax
	movl	%eax, %cr3
	movl	$0x10, %eax
	movl	%eax, %cr4
	movl	$0x80010033, %eax
	movl	%eax, %cr0
#endif

	/* The first stores are stepped: pushf must show the kernel's flags, and popf must not bring back the step's. */
	pushfl
	movl	(%esp), %eax
	popfl
	testl	$(EFLAGS_TF | EFLAGS_IF), %eax
	CHECK	z, 1
	pushfw
	popw	%ax
	testl	$(EFLAGS_TF | EFLAGS_IF), %eax
	CHECK	z, 2
	sti
	pushfl
	popl	%eax
	cli
	andl	$(EFLAGS_TF | EFLAGS_IF), %eax
	cmpl	$EFLAGS_IF, %eax
	CHECK	e, 3

	/* Pushes, calls, read-modify-write, bytes; strings across the page's ends and from behind. */
	movl	$ROUNDS, %ecx
2:	pushl	%ecx
	call	count
	incb	busy
	popl	%ecx
	loop	2b
	cmpl	$ROUNDS, counted
	CHECK	e, 4
	movl	$page - 64, %edi
	movl	$16, %ecx
	movl	$0x5A5A5A5A, %eax
	rep stosl
	movl	$behind_tables, %edi
	movl	$(page + 4096 - behind_tables + 64) / 4, %ecx
	movl	%edi, %esi
	rep movsl
	movl	$page + 4096 + 60, %edi
	movl	$page + 4096 + 56, %esi
	movl	$32, %ecx
	std
	rep movsl
	cld
	cmpl	$0x5A5A5A5A, page - 4
	CHECK	e, 5

	/* Interrupts and returns on that stack. */
	movl	$1000, %ebx
2:	int	$0x21
	pushl	%ebx
	popl	%eax
	decl	%ebx
	jnz	2b
	cmpl	$ROUNDS + 1000, counted
	CHECK	e, 6

	/* Descriptors that were there from the start, and that no register held. */
	movl	$OTHER, %eax
	movl	%eax, %fs
	cmpl	$OTHER_WORD, %fs:0
	CHECK	e, 7
	ljmp	$TWIN, $2f
2:	ljmp	$CODE, $2f
2:	call	busy_again
	movl	$OTHER, %eax
	movl	%eax, %gs
	cmpl	$OTHER_WORD, %gs:0
	CHECK	e, 8
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	call	busy_again

#if WRITES
	/* A new one, and then another in its place, while a register holds the old one. */
	SEGMENT	NEW, new_word
	movl	$NEW, %eax
	movl	%eax, %fs
	cmpl	$NEW_WORD, %fs:0
	CHECK	e, 9
	call	busy_again
	SEGMENT	NEW, newer_word
	movl	$NEW, %eax
	movl	%eax, %fs
	cmpl	$NEWER_WORD, %fs:0
	CHECK	e, 10
	movb	$0x13, gdt + NEW + 5	/* not present: its load must fault, and come to the kernel */
	movl	$NEW, %eax
	movl	%eax, %es
	cmpl	$1, faulted
	CHECK	e, 11
	GATE	0x21, other_gate
	int	$0x21
	cmpl	$1, other_counted
	CHECK	e, 12

	/* Three at once, as a change of tasks does: each store of theirs is seen, and the registers are what was loaded. */
	.irpc	number, 012
	SEGMENT	(THREE + 8 * \number), (word_\number)
	movl	gdt + THREE + 8 * \number, %eax
	movl	%eax, three + 8 * \number
	movl	gdt + THREE + 8 * \number + 4, %eax
	movl	%eax, three + 8 * \number + 4
	.endr
	movl	$CHANGES, %esi
2:	movl	$6, %ecx
	movl	$gdt + THREE, %edi
	xorl	%eax, %eax
	rep stosl
	movl	$gdt, %ecx
	movl	$three, %ebx
	movl	(%ebx), %eax
	movl	4(%ebx), %edx
	movl	%eax, THREE(%ecx)
	movl	%edx, THREE + 4(%ecx)
	movl	8(%ebx), %eax
	movl	12(%ebx), %edx
	movl	%eax, THREE + 8(%ecx)
	movl	%edx, THREE + 12(%ecx)
	movl	16(%ebx), %eax
	movl	20(%ebx), %edx
	movl	%eax, THREE + 16(%ecx)
	movl	%edx, THREE + 20(%ecx)
	cmpl	16(%ebx), %eax
	CHECK	e, 13
	cmpl	20(%ebx), %edx
	CHECK	e, 14
	.irpc	number, 012
	movl	$THREE + 8 * \number, %eax
	movl	%eax, %fs
	cmpl	$0x1000 + \number, %fs:0
	CHECK	e, 15
	.endr
	xorl	%eax, %eax
	movl	%eax, %fs
	decl	%esi
	jnz	2b
#endif
	POWER_OFF

busy_again:
	movl	$500, %ecx
2:	pushl	%ecx
	popl	%eax
	loop	2b
	ret

count:
	incl	counted
	ret

counting_gate:
	incl	counted
	iret

other_gate:
	incl	other_counted
	iret

/* Segment not present: skip the two bytes of the load. */
absent_gate:
	incl	faulted
	addl	$2, 4(%esp)
	addl	$4, %esp
	iret

	.data
counted:	.long	0
other_counted:	.long	0
faulted:	.long	0
new_word:	.long	NEW_WORD
newer_word:	.long	NEWER_WORD
word_0:	.long	0x1000
word_1:	.long	0x1001
word_2:	.long	0x1002
three:	.space	24
other_word:	.long	OTHER_WORD
gdt_pointer:	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:	.word	8 * 0x22 - 1
	.long	idt

	.balign	4096
directory:
	.space	4096
	.space	4096
	.balign	4096
page:
gdt:	.quad	0, 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0, 0, 0x00CF9A000000FFFF, 0, 0, 0
gdt_end:
	.balign	8
idt:	.space	8 * 0x22
behind_tables:
	.space	1024
busy:	.space	1024
stack_end:
	.balign	4096
	.space	4096
