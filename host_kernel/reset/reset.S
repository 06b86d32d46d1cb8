/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code at the reset vector of an emulated PC, in place of a BIOS: from real mode to the entry described in
 * switcher/layouts/machine.h.  The engine stores the entry's address and ebx at RESET_BLOCK.
 * Source: Intel SDM vol. 3, 9.1.4 (first instruction) and 9.9.1 (switching to protected mode).
 */
#define RESET_BLOCK 0x500

	.section .reset, "ax"
	.code16
begin:
	cli
	lgdtl %cs:(table - begin + 0xFF00)	/* cs has base 0xFFFF0000; this code is in the last 256 bytes of the 64 KiB */
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $8, $protected
	.code32
protected:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
	movl RESET_BLOCK, %eax
	movl RESET_BLOCK + 4, %ebx
	jmp *%eax
	.balign 8
gdt:
	.quad 0
	.quad 0x00CF9B000000FFFF	/* 8: code, flat, ring 0 */
	.quad 0x00CF93000000FFFF	/* 16: data, flat, ring 0 */
table:
	.word 23
	.long gdt

	.section .vector, "ax"
	.code16
	.byte 0xE9			/* jmp near, within the 64 KiB */
	.word (0xFF00 - 0xFFF3) & 0xFFFF
