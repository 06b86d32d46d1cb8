/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel for single steps: instructions that trap to the Host kernel, that change or show the flags, and that lead
 * to a handler or to another ring.  The labels p01, p02 … are in the order in which they run, one for each step.  Its clock
 * ticks all the time, and must not be seen but behind the hlt.  At the end it powers off; a check that fails halts it with the
 * check's number in eax.  Run by tests/gdb/test_gdb_native.py.
 */
#define CODE 0x10
#define DATA 0x18
#define USER_CODE 0x23
#define USER_DATA 0x2B
#define TASK 0x30
#define CLOCK 0x20 /* vectors */
#define CALL  0x80
#define FLAG_TF 0x100
#define FLAG_DF 0x400

#include "tests/lab/small_kernel.h"

	.text
	.globl	start, ready, stepped, last, count, watched, p26, p20
start:
	cld
	GATE	3, p20, 0xEE00
	GATE	6, p22
	GATE	CLOCK, p26
	GATE	CALL, p38, 0xEE00
	movl	$tss, %eax
	movw	%ax, gdt + TASK + 2
	shrl	$16, %eax
	movb	%al, gdt + TASK + 4
	movb	%ah, gdt + TASK + 7
	LOAD_SEGMENTS
	movl	$TASK, %eax
	ltr	%ax
	CLOCK_INTERRUPT CLOCK
	OUT	0x43, 0x34		/* again and again */
	OUT	0x40, 0
	OUT	0x40, 0x10
ready:
	nop
p01:	sti
p02:	nop
p03:	pushfl
p04:	popl	%ebx
p05:	cli
p06:	pushl	$(FLAG_DF | 2)
p07:	popfl
p08:	pushfl
p09:	popl	%ecx
p10:	cld
p11:	movl	%cr0, %eax
p12:	movl	%eax, %cr0
p13:	inb	$0x21, %al
p14:	lidt	idt_pointer
p15:	incl	spare			/* in the page of the GDT, which is write-protected */
p16:	pushl	$CODE
p17:	pushl	$p19
p18:	lretl
	nop
p19:	int3				/* the kernel's own */
p21:	ud2
p24:	sti
p25:	hlt
p28:	cli
p29:	pushl	$USER_DATA
p30:	pushl	$user_stack_end
p31:	pushl	$2
p32:	pushl	$USER_CODE
p33:	pushl	$p35
p34:	iretl				/* to the program */

	/* The program, in ring 3. */
p35:	pushfl
p36:	popl	%edx
p37:	int	$CALL

p20:	iretl

p22:	addl	$2, (%esp)
p23:	iretl

p26:	incl	count
p27:	iretl

p38:	movl	$1, watched
stepped:
	testl	$FLAG_TF, %ebx
	CHECK	z, 1
	testl	$FLAG_TF, %ecx
	CHECK	z, 2
	testl	$FLAG_DF, %ecx
	CHECK	nz, 3
	testl	$FLAG_TF, %edx
	CHECK	z, 4
	testl	$FLAG_TF, 8(%esp)	/* pushed by the int */
	CHECK	z, 5
	cmpl	$USER_CODE, 4(%esp)
	CHECK	e, 6
	cmpl	$1, spare
	CHECK	e, 7
	POWER_OFF
	hlt

	.data
count:	.long	0
watched:	.long	0
gdt_pointer:	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:	.word	8 * 0x81 - 1
	.long	idt
	.balign	4096
gdt:	.quad	0, 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0x00CFFA000000FFFF, 0x00CFF2000000FFFF, 0x0000890000000067
gdt_end:
spare:	.long	0
	.balign	4096
tss:	.long	0, stack_end, DATA
	.space	92
	.balign	4096
idt:	.space	8 * 0x81
	.balign	4096
	.space	4096
stack_end:
	.space	4096
user_stack_end:
