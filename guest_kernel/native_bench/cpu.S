/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first instructions of the Guest that measures the native personality, and its two gates.
 * It is started as any native kernel: 32-bit protected mode, flat segments, "ring 0". Read next: bench.c.
 */
#include "guest_kernel/native_bench/native.h"

	.text
	.globl start
start:
	cld
	movl $stack_end, %esp
	call native_main
0:	cli
	hlt
	jmp 0b

/* void load_tables(const void *gdt, const void *idt): each points at what lgdt and lidt load. */
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

/* u32 to_program(void): from before the iret to the program's first instruction, in ticks. */
	.globl to_program
to_program:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, kernel_stack
	leal -64(%esp), %eax
	movl %eax, tss + 4		/* where its system call comes in */
	pushl $USER_DS
	pushl $program_stack_end
	pushl $0x202
	pushl $USER_CS
	pushl $program
	cli
	lfence
	rdtsc
	lfence
	movl %eax, %esi
	iret

/* Ring 3. */
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

/* u32 to_kernel(void): an iret to the next instruction, in ring 0 as the kernel believes. */
	.globl to_kernel
to_kernel:
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

/* Any other trap: void native_trapped(u32 vector, const u32 *frame), which does not return. */
	.globl trap_entries
	.set vector, 0
	.rept 32
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
	.skip 8192
stack_end:
	.skip 4096
program_stack_end:
kernel_stack:
	.skip 4
