/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Call code that may fault, and come back from the middle of it. */
	.text
	.globl probe_run, probe_resume
/* u32 probe_run(void (*code)(u32), u32 argument): 1 when a handler had to end it at probe_resume, else 0 */
probe_run:
	pushl %ebp
	pushl %edi
	pushl %esi
	pushl %ebx
	movl %esp, probe_stack
	movl 20(%esp), %eax
	pushl 24(%esp)
	call *%eax
	xorl %eax, %eax
	jmp 1f
probe_resume:
	movl $1, %eax
1:	movl probe_stack, %esp
	popl %ebx
	popl %esi
	popl %edi
	popl %ebp
	ret

	.bss
	.balign 4
probe_stack:
	.skip 4

	.section .note.GNU-stack, "", @progbits
