/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kernels of one assembler file share (small_kernel.py). The file that includes this one defines CODE, DATA, gdt_pointer, idt, idt_pointer and stack_end. */
#define PM1_CONTROL 0x604

	/* Make a gate to this routine, by plain stores: with 0x8E00 an interrupt gate, with 0xEE00 one for programs too. */
	.macro	GATE vector, routine, access=0x8E00
	movl	$\routine, %eax
	movw	%ax, idt + 8 * \vector
	movw	$CODE, idt + 8 * \vector + 2
	movw	$\access, idt + 8 * \vector + 4
	shrl	$16, %eax
	movw	%ax, idt + 8 * \vector + 6
	.endm

	/* A check that fails halts the Guest with the number of it in eax. */
	.macro	CHECK condition, number
	j\condition	1f
	movl	$\number, %eax
	cli
	hlt
1:
	.endm

	/* Its own tables, flat segments of ring 0 and its stack. */
	.macro	LOAD_SEGMENTS
	lgdt	gdt_pointer
	lidt	idt_pointer
	ljmp	$CODE, $2f
2:	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$stack_end, %esp
	.endm

	/* Data: such segments (CODE is 0x10, DATA 0x18), and no gates. */
	.macro	FLAT_TABLES
	.balign	8
gdt:	.quad	0, 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
	.word	31
	.long	gdt
idt_pointer:
	.word	0
	.long	gdt
	.endm

	.macro	OUT port, value
	movb	$\value, %al
	outb	%al, $\port
	.endm

	/* The interrupt of IRQ 0 alone, with this vector; no end of interrupt is awaited. */
	.macro	CLOCK_INTERRUPT vector
	OUT	0x20, 0x11
	OUT	0x21, \vector
	OUT	0x21, 4
	OUT	0x21, 3
	OUT	0x21, 0xFE
	.endm

	.macro	POWER_OFF
	movw	$PM1_CONTROL, %dx
	movw	$(5 << 10 | 1 << 13), %ax
	outw	%ax, %dx
	.endm
