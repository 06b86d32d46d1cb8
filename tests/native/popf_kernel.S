/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel, small and with paging off or on, that sets its interrupt flag by popf in all the ways that it can:
 * with popf in line, in a routine, behind pointers, in code that it writes while it runs.  At the end it powers off; a
 * check that fails halts it with the check's number in eax.
 * PAGING: its own pages are not the programs'.  PROGRAM: it has run one before.  Run by tests/native/test_native_popf.py.
 */
#define CODE 0x10
#define DATA 0x18
#define USER_CODE 0x23
#define USER_DATA 0x2B
#define TSS  0x30
#define TIMER 0x20  /* vectors */
#define FROM_PROGRAM 0x30
#define ROUNDS 3 /* the first finds, the others use what was found */
#define MANY 20000
#define WRITTEN 6   /* bytes of save_and_restore_1 and _2 */
#define EFLAGS_CF 0x1
#define EFLAGS_TF 0x100
#define EFLAGS_IF 0x200
#define EFLAGS_DF 0x400
#define EFLAGS_AC 0x40000
#if PAGING
#define PROGRAMS 0x400000 /* where programs see what the kernel has at 0 */
#else
#define PROGRAMS 0
#endif

#include "tests/lab/small_kernel.h"

	.macro	IF_IS_SET number
	pushfl
	popl	%eax
	andl	$(EFLAGS_IF | EFLAGS_TF), %eax
	cmpl	$EFLAGS_IF, %eax
	CHECK	e, \number
	.endm

	.macro	IF_IS_CLEAR number
	pushfl
	popl	%eax
	testl	$(EFLAGS_IF | EFLAGS_TF), %eax
	CHECK	z, \number
	.endm

	.text
	.globl	start
start:
	cld
	GATE	TIMER, tick, 0x8E00
	GATE	FROM_PROGRAM, back, 0xEE00
	movl	$tss, %eax
	movw	%ax, gdt + TSS + 2
	shrl	$16, %eax
	movb	%al, gdt + TSS + 4
	LOAD_SEGMENTS
	movl	$stack_end, tss + 4
	movl	$DATA, tss + 8
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	$TSS, %eax
	ltr	%ax
#if PAGING
	movl	$0x83, directory	/* the first 4 MiB where they are, */
	movl	$0x87, directory + 4	/* and once more for programs */
	movl	$directory, %eax
	movl	%eax, %cr3
	movl	$0x10, %eax
	movl	%eax, %cr4
	movl	$0x80010033, %eax
	movl	%eax, %cr0
#endif
	CLOCK_INTERRUPT TIMER
	OUT	0x43, 0x34
	OUT	0x40, 0x10
	OUT	0x40, 0x10
#if PROGRAM
	pushl	$USER_DATA
	pushl	$user_stack_end + PROGRAMS
	pushl	$2
	pushl	$USER_CODE
	pushl	$program + PROGRAMS
	iret
back:
	movl	$stack_end, %esp
	cmpb	$0x9D, program_popf	/* ring 3 needs no replacement */
	CHECK	e, 1
#else
back:
#endif

	movl	$ROUNDS, %ebp
round:
	/* In line, within another, and with other flags. */
	sti
	pushfl
	cli
	IF_IS_CLEAR 2
	movl	$0x9D9D9D9D, %edx	/* no popf */
	popfl
	IF_IS_SET 3
	pushfl
	cli
	pushfl
	cli
	popfl
	IF_IS_CLEAR 4
	popfl
	IF_IS_SET 5
	cmpl	$0x9D9D9D9D, %edx
	CHECK	e, 6
	pushfl
	cli
	orl	$(EFLAGS_CF | EFLAGS_DF | EFLAGS_AC), (%esp)
	popfl
	pushfl
	cld
	popl	%eax
	andl	$(EFLAGS_CF | EFLAGS_TF | EFLAGS_IF | EFLAGS_DF | EFLAGS_AC), %eax
	cmpl	$(EFLAGS_CF | EFLAGS_IF | EFLAGS_DF | EFLAGS_AC), %eax
	CHECK	e, 7
	pushl	$2 | EFLAGS_IF
	popfl				/* of these flags only IF is set */
	IF_IS_SET 8

	/* On a stack that is not aligned, and at the end of a page. */
	movl	%esp, %ebx
	movl	$page + 4096 + 2, %esp
	pushfl
	cli
	popfl
	IF_IS_SET 9
	movl	$page + 4096, %esp
	pushfl
	cli
	popfl
	IF_IS_SET 10
	movl	%ebx, %esp

	/* In routines, and behind a pointer. */
	call	save
	IF_IS_CLEAR 11
	pushl	%edx
	call	restore
	IF_IS_SET 12
	call	save
	pushl	%edx
	call	*restore_pointer
	IF_IS_SET 13
	call	*save_pointer
	pushl	%edx
	call	*other_restore_pointer
	IF_IS_SET 14

	/* The way that was not taken at the first time. */
	pushfl
	cli
	cmpl	$ROUNDS, %ebp
	jne	2f
	popfl
	jmp	3f
2:	popfl
3:	IF_IS_SET 15

	/* What popf clears. */
	pushfl
	cli
	popfl
	pushl	$2
	sti
	popfl
	IF_IS_CLEAR 16
	sti

	/* Code that is written while this runs: first save_and_restore, then the other, whose popf is elsewhere. */
	.irpc	which, 12
	movl	$save_and_restore_\which, %esi
	movl	$written, %edi
	movl	$WRITTEN, %ecx
	rep movsb
	call	written
	IF_IS_SET 17
	.endr

	/* An interrupt that is pending comes with the popf. */
	movl	$5, %ecx
2:	pushfl
	cli
3:	inb	$0x20, %al
	testb	$1, %al
	jz	3b
	movl	ticks, %ebx
	popfl
	nop
	cmpl	ticks, %ebx
	CHECK	ne, 18
	loop	2b

	/* What looks like a popf and is not code. */
	cli
	jmp	2f
not_code:
	.byte	0x9D, 0x9D, 0x9D, 0xFA, 0xFA
2:	pushl	$2 | EFLAGS_IF
	popfl
	movl	$not_code, %esi
	movl	$not_code_too, %edi
	movl	$5, %ecx
	repe cmpsb
	CHECK	e, 19

	decl	%ebp
	jnz	round

	/* Where control goes through a pointer, and elsewhere than at the first time: found in the end. */
	movl	$way_1, way
	call	through_pointer
	IF_IS_SET 20
	movl	$way_2, way
	movl	$MANY, %ecx
2:	sti
	call	through_pointer
	pushfl
	popl	%eax
	testl	$EFLAGS_IF, %eax
	jnz	3f
	inb	$0x21, %al
	loop	2b
3:	testl	%ecx, %ecx
	CHECK	nz, 21
	IF_IS_SET 22

	/* Known by now: no steps. */
	sti
	movl	$MANY, %ecx
2:	pushfl
	cli
	decl	%ecx
	popfl
	incl	%ecx
	loop	2b
	IF_IS_SET 23

	POWER_OFF

tick:
	incl	ticks
	iret

save:
	pushfl
	popl	%edx
	cli
	ret

	.byte	0x9D	/* not code */
restore:
	pushl	4(%esp)
	popfl
	ret	$4

other_restore:
	movl	4(%esp), %eax
	pushl	%eax
	nop
	popfl
	ret	$4

through_pointer:
	pushfl
	cli
	jmp	*way
way_1:	popfl
	ret
way_2:	nop
	nop
	popfl
	ret

/* Of the same length. */
save_and_restore_1:
	pushfl
	cli
	popfl
	ret
	nop
	nop
save_and_restore_2:
	pushfl
	nop
	cli
	nop
	popfl
	ret

	.data
ticks:	.long	0
way:	.long	0
save_pointer:	.long	save
restore_pointer:	.long	restore
other_restore_pointer:	.long	other_restore
not_code_too:
	.byte	0x9D, 0x9D, 0x9D, 0xFA, 0xFA
gdt_pointer:	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:	.word	8 * 0x31 - 1
	.long	idt
	.balign	8
tss:	.space	104
	.balign	4096
program:
	pushfl
program_popf:
	popfl
	int	$FROM_PROGRAM
	.balign	4096
written:
	.space	4096
directory:
	.space	4096
gdt:	.quad	0, 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF, 0x00CFFA000000FFFF, 0x00CFF2000000FFFF, 0x0000890000000067
gdt_end:
	.balign	4096
idt:	.space	4096
page:	.space	8192
	.space	4096
stack_end:
	.space	4096
user_stack_end:
