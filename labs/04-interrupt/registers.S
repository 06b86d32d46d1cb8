/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loop with a known value in each register, which an interrupt must not change.  Nothing is to be changed here.
 *
 * Read before: proof.c.
 */
	.text
	.globl spin_with_full_registers
/*
 * u32 spin_with_full_registers(u32 rounds): 0, or which register changed: 1 eax, 2 ebx, 3 ecx, 4 edx, 5 esi, 6 edi, 7 ebp, 8 the
 * carry flag
 */
spin_with_full_registers:
	movl 4(%esp), %eax
	movl %eax, left
	pushl %ebx
	pushl %esi
	pushl %edi
	pushl %ebp
	movl $0x1A1A1A1A, %eax
	movl $0x2B2B2B2B, %ebx
	movl $0x3C3C3C3C, %ecx
	movl $0x4D4D4D4D, %edx
	movl $0x5E5E5E5E, %esi
	movl $0x6F6F6F6F, %edi
	movl $0x70707070, %ebp
	stc
1:	decl left			/* leaves the carry flag */
	jnz 1b
	jnc 8f
	cmpl $0x1A1A1A1A, %eax
	movl $1, %eax
	jne 9f
	cmpl $0x2B2B2B2B, %ebx
	movl $2, %eax
	jne 9f
	cmpl $0x3C3C3C3C, %ecx
	movl $3, %eax
	jne 9f
	cmpl $0x4D4D4D4D, %edx
	movl $4, %eax
	jne 9f
	cmpl $0x5E5E5E5E, %esi
	movl $5, %eax
	jne 9f
	cmpl $0x6F6F6F6F, %edi
	movl $6, %eax
	jne 9f
	cmpl $0x70707070, %ebp
	movl $7, %eax
	jne 9f
	xorl %eax, %eax
	jmp 9f
8:	movl $8, %eax
9:	popl %ebp
	popl %edi
	popl %esi
	popl %ebx
	ret

	.bss
	.balign 4
left:	.skip 4

	.section .note.GNU-stack, "", @progbits
