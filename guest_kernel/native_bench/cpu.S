/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that take more than one line of C, and the trap entries.
 *
 * Read next: end.c.
 */
#include "guest_kernel/native_bench/cpu.h"

#define PROGRAM_STACK_BYTES 4096
#define TSS_ESP0     4      /* offset in the TSS */
#define PROGRAM_FLAGS 0x202 /* IF, and bit 1, which is always set */

	.text

/* void load_tables(const void *gdt, const void *idt): the operands of lgdt and lidt */
	.globl load_tables
load_tables:
	movl 4(%esp), %eax
	lgdt (%eax)
	movl 8(%esp), %eax
	lidt (%eax)
	ljmp $KERNEL_CS, $0f
0:	movl $KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $TSS, %eax
	ltr %ax
	ret

/*
 * u32 iret_to_program(void): the ticks from before the iret to the program's first instruction. The program returns
 * by a system call, and its frame is dropped. The stack is, from high to low:
 *
 *	return address
 *	ebp, ebx, esi, edi          kernel_stack points to edi
 *	ss, esp, eflags, cs, eip    the frame that iret pops, and where the system call pushes its own
 */
	.globl iret_to_program
iret_to_program:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, kernel_stack
	movl %esp, tss + TSS_ESP0
	pushl $USER_DS
	pushl $program_stack_end
	pushl $PROGRAM_FLAGS
	pushl $USER_CS
	pushl $program
	cli
	lfence
	rdtsc
	lfence
	movl %eax, %esi
	iret

/* In ring 3. */
program:
	lfence
	rdtsc
	lfence
	subl %esi, %eax
	int $SYSTEM_CALL

	.globl system_call_entry
system_call_entry:
	movl kernel_stack, %esp
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	movl $KERNEL_DS, %edx
	movl %edx, %ds
	movl %edx, %es
	ret

/* u32 iret_to_kernel(void): the ticks of an iret to the next instruction, in the kernel */
	.globl iret_to_kernel
iret_to_kernel:
	pushl %esi
	pushfl
	pushl $KERNEL_CS
	pushl $1f
	lfence
	rdtsc
	lfence
	movl %eax, %esi
	iret
1:	lfence
	rdtsc
	lfence
	subl %esi, %eax
	popl %esi
	ret

/* Any other trap calls native_trapped(), which does not return. */
	.globl trap_entries
	.set vector, 0
	.rept EXCEPTIONS
	.pushsection .rodata
	.if vector == 0
trap_entries:
	.endif
	.long 1f
	.popsection
1:	pushl $vector
	jmp trapped
	.set vector, vector + 1
	.endr
trapped:
	leal 4(%esp), %eax
	movl (%esp), %edx
	pushl %eax
	pushl %edx
	call native_trapped

	.bss
	.balign 16
	.skip PROGRAM_STACK_BYTES
program_stack_end:
kernel_stack:
	.skip 4
	.balign 128 /* the TSS must not cross a page */
	.globl tss
tss:
	.skip TSS_BYTES

	.section .note.GNU-stack, "", @progbits
