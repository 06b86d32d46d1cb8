/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entry point at 0x100000, in ring 1 with virtual = physical addresses and without a stack. esi points to
 * boot_params, which contains the setup header. The code is linked for 0x400000: it moves there with the payload,
 * which it then unpacks.
 *
 * Read next: unpack.c.
 */
#define CODE_ADDRESS   0x100000
#define LINK_ADDRESS   0x400000
/* Offsets in boot_params. */
#define SYSSIZE        0x1F4 /* in units of 16 bytes, which are 4 words */
#define PAYLOAD_LENGTH 0x24C
#define STACK_BYTES    16384

	.section .text.start, "ax"
	.globl code_start
code_start:
	cld
	movl %esi, %ebp
	movl SYSSIZE(%ebp), %ecx
	shll $2, %ecx
	/* The two places must not overlap. */
	cmpl $((LINK_ADDRESS - CODE_ADDRESS) / 4), %ecx
	ja refuse_image
	movl $CODE_ADDRESS, %esi
	movl $code_start, %edi
	rep movsl
	movl $in_place, %eax
	jmp *%eax

in_place:
	movl $(stack + STACK_BYTES), %esp
	pushl PAYLOAD_LENGTH(%ebp)
	pushl $payload
	call unpack
	testl %eax, %eax
	jz refuse_image
	movl %ebp, %esi
	jmp *%eax

	/* There is no console yet. A trap without a handler ends the Guest, and the report has its address. */
refuse_image:
	ud2

	.section .bss
	.balign 16
stack:
	.skip STACK_BYTES

	.section .note.GNU-stack, "", @progbits
