/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The routines that C cannot be: from one ring-1 stack to another, and a copy that may fault. */
#include "offsets.h"
#include "guest_kernel/memory/layout.h"

	.text
	.globl switch_stacks
/* void switch_stacks(u32 *save_esp, u32 load_esp); returns when somebody loads what it saved */
switch_stacks:
	movl 4(%esp), %eax
	movl 8(%esp), %edx
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, (%eax)
	movl %edx, %esp
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret

	.globl copy_bytes, copy_bytes_at, copy_bytes_end
/* u32 copy_bytes(void *to, const void *from, u32 count); returns the count not copied */
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
