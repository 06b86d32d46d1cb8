/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A copy by one instruction, so that copy.c can tell its faults by their address. */

	.text
	.globl copy_bytes, copy_bytes_at, copy_bytes_end
/* u32 copy_bytes(void *to, const void *from, u32 count): returns the number of bytes not copied */
copy_bytes:
	pushl %edi
	pushl %esi
	movl 12(%esp), %edi
	movl 16(%esp), %esi
	movl 20(%esp), %ecx
copy_bytes_at:
	rep movsb
copy_bytes_end:
	movl %ecx, %eax
	popl %esi
	popl %edi
	ret

	.section .note.GNU-stack, "", @progbits
