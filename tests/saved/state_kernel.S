/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel whose processor has something in every register: it says "r" on its serial port, waits for a byte, and
 * looks whether all is as before.  At the end it powers off; a check that fails halts it with the check's number in eax.  The
 * test saves it while it waits, and restores it.  Run by tests/saved/test_saved_processor.py.
 */
#define CODE 0x10
#define DATA 0x18
#define LDT  0x20
#define BASED 0x28	/* data from an address on */
#define IN_LDT 0x0C	/* the same in the LDT */
#define CLOCK 0x20	/* a vector */
#define COM1 0x3F8
#define WORD 0x1DEA2026
#define TS 8
#define BREAKPOINT_AT_0 0x402

#include "tests/lab/small_kernel.h"

	.text
	.globl	start
start:
	cld
	GATE	1, debug
	GATE	7, no_fpu
	GATE	CLOCK, clock
	movl	$word, %eax		/* the bases of two segments */
	movw	%ax, based + 2
	movw	%ax, in_ldt + 2
	shrl	$16, %eax
	movb	%al, based + 4
	movb	%al, in_ldt + 4
	movl	$ldt, %eax
	movw	%ax, ldt_entry + 2
	shrl	$16, %eax
	movb	%al, ldt_entry + 4
	LOAD_SEGMENTS
	movl	$LDT, %eax
	lldt	%ax
	movl	$BASED, %eax
	movl	%eax, %fs
	movl	$IN_LDT, %eax
	movl	%eax, %gs

	movl	%cr0, %eax
	andl	$~6, %eax		/* EM and MP */
	movl	%eax, %cr0
	movl	%cr4, %eax
	orl	$0x600, %eax		/* OSFXSR and OSXMMEXCPT */
	movl	%eax, %cr4
	fninit
	fldcw	control_word
	fldpi
	fldl2e
	ldmxcsr	mxcsr
	.irp	number, 0, 1, 2, 3, 4, 5, 6, 7
	movl	$WORD * (\number + 1), %eax
	movd	%eax, %xmm\number
	pshufd	$0x1B - \number, %xmm\number, %xmm\number
	.endr
	fxsave	before

	movl	$hit, %eax
	movl	%eax, %dr0
	movl	$BREAKPOINT_AT_0, %eax
	movl	%eax, %dr7

	CLOCK_INTERRUPT CLOCK
	OUT	0x43, 0x34		/* every 10 ms */
	OUT	0x40, 11932 & 0xFF
	OUT	0x40, 11932 >> 8
	sti
	rdtsc
	movl	%eax, tsc
	movl	%edx, tsc + 4
	movl	%cr0, %eax
	orl	$TS, %eax
	movl	%eax, %cr0
	movl	$WORD, %ebx
	movl	$WORD + 1, %ecx
	movl	$WORD + 2, %esi
	movl	$WORD + 3, %edi
	movl	$WORD + 4, %ebp
	movw	$COM1 + 4, %dx
	movb	$2, %al			/* RTS: it takes input */
	outb	%al, %dx
	movw	$COM1, %dx
	movb	$'r', %al
	outb	%al, %dx
	movb	$'\n', %al
	outb	%al, %dx
wait:	movw	$COM1 + 5, %dx
	inb	%dx, %al
	testb	$1, %al
	jz	wait
	movw	$COM1, %dx
	inb	%dx, %al

	cmpl	$WORD, %ebx
	CHECK	e, 1
	cmpl	$WORD + 1, %ecx
	CHECK	e, 2
	cmpl	$WORD + 2, %esi
	CHECK	e, 3
	cmpl	$WORD + 3, %edi
	CHECK	e, 4
	cmpl	$WORD + 4, %ebp
	CHECK	e, 5
	cmpl	$stack_end, %esp
	CHECK	e, 6
	cmpl	$WORD, %fs:0
	CHECK	e, 7
	cmpl	$WORD, %gs:0
	CHECK	e, 8
	movl	%fs, %eax
	cmpl	$BASED, %eax
	CHECK	e, 9
	sldt	%ax
	cmpw	$LDT, %ax
	CHECK	e, 10
	movl	%cr0, %eax
	testl	$TS, %eax
	CHECK	nz, 11
	fxsave	after			/* faults, and no_fpu clears TS */
	cmpl	$1, no_fpus
	CHECK	e, 12
	movl	$before, %esi
	movl	$after, %edi
	movl	$5, %ecx		/* FCW, FSW, FTW */
	repe cmpsb
	CHECK	e, 13
	movl	before + 24, %eax	/* MXCSR */
	cmpl	after + 24, %eax
	CHECK	e, 14
	movl	$before + 32, %esi	/* ST and XMM registers */
	movl	$after + 32, %edi
	movl	$256, %ecx
	repe cmpsb
	CHECK	e, 15
	rdtsc
	subl	tsc, %eax
	sbbl	tsc + 4, %edx
	CHECK	nc, 16
	cmpl	$64, %edx		/* two minutes at 2 GHz, and not since the computer was started */
	CHECK	b, 17
	movl	%dr0, %eax
	cmpl	$hit, %eax
	CHECK	e, 18
	cmpl	$0, debugs
	CHECK	e, 19
hit:	nop
	cmpl	$1, debugs
	CHECK	e, 20
	movl	clocks, %eax
2:	cmpl	clocks, %eax		/* for ever, if the clock stands still */
	je	2b
	pushfl
	popl	%eax
	testl	$0x200, %eax
	CHECK	nz, 21
	POWER_OFF

debug:	incl	debugs
	pushl	%eax
	xorl	%eax, %eax
	movl	%eax, %dr7
	popl	%eax
	iret

no_fpu:	incl	no_fpus
	clts
	iret

clock:	incl	clocks
	pushl	%eax
	OUT	0x20, 0x20
	popl	%eax
	iret

	.data
word:	.long	WORD
control_word:	.word	0x0F7F	/* rounds to zero, not as after fninit */
	.balign	4
mxcsr:	.long	0x7F80
tsc:	.long	0, 0
debugs:	.long	0
no_fpus: .long	0
clocks:	.long	0
gdt_pointer:	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:	.word	8 * 0x22 - 1
	.long	idt
	.balign	4096
gdt:	.quad	0, 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
ldt_entry:	.quad	0x000082000000000F
based:	.quad	0x000092000000000F
gdt_end:
ldt:	.quad	0
in_ldt:	.quad	0x000092000000000F
	.balign	4096
idt:	.space	8 * 0x22
	.balign	16
before:	.space	512
after:	.space	512
	.balign	4096
	.space	4096
stack_end:
