/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What kernels of one assembler file share (small_kernel.py). The file that includes this one defines CODE and idt. */

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
