/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entered at 0x100000, in ring 1 with virtual = physical, without a stack, with esi = boot_params, which holds our
 * setup header. Linked for 0x400000: so move there, payload and all, and unpack.
 *
 * Read next: unpack.c.
 */
#define CODE_ADDRESS   0x100000
#define SYSSIZE        0x1F4 /* in units of 16 bytes */
#define PAYLOAD_LENGTH 0x24C
#define STACK_BYTES    16384

	.section .text.start, "ax"
	.globl code_start
code_start:
	cld
	movl %esi, %ebp
	movl SYSSIZE(%ebp), %ecx
	shll $2, %ecx
	/* From low to high: right as long as the two places do not overlap. */
	cmpl $((0x400000 - CODE_ADDRESS) / 4), %ecx
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

	/* There is nobody to tell yet. A trap without a handler ends the Guest, and its report says where. */
refuse_image:
	ud2

	.section .bss
	.balign 16
stack:
	.skip STACK_BYTES

	.section .note.GNU-stack, "", @progbits
