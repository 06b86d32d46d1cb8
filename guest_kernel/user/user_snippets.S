/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of code that each make one trap, for faults.c and the tests. They are linked as a program is; the tests
 * also run them in ring 1, which may execute a program's pages. eax is an argument. NAME_at is the address that
 * the trap must report. One that comes through ends by the system call "exit" with code 0.
 *
 * Read next: snippets.h.
 */
#include "guest_kernel/memory/layout.h"

	.section .user.text, "ax"

	.macro SNIPPET name
	.globl \name, \name\()_at
\name:
	.endm

	/* What the snippet found out is in ebx for the tests. */
	.macro DONE
	movl $SYS_EXIT, %eax
	int $SYSTEM_CALL_VECTOR
	.endm

	/* One instruction that faults, without a change: the address is its own. */
	.macro FAULTS name, instruction:vararg
	SNIPPET \name
\name\()_at:
	\instruction
	DONE
	.endm

SNIPPET snippet_divide
	xorl %edx, %edx
	xorl %ecx, %ecx
snippet_divide_at:
	divl %ecx
	DONE

/* Single step: the trap comes behind the instruction after popf. */
SNIPPET snippet_debug
	pushfl
	orl $0x100, (%esp)
	popfl
	nop
snippet_debug_at:
	nop
	DONE

SNIPPET snippet_breakpoint
	int3
snippet_breakpoint_at:
	DONE

SNIPPET snippet_overflow
	movl $0x7FFFFFFF, %eax
	incl %eax
	into
snippet_overflow_at:
	DONE

SNIPPET snippet_bound
	pushl $10
	pushl $0
	movl $11, %eax
snippet_bound_at:
	boundl %eax, (%esp)
	DONE

FAULTS snippet_undefined, ud2
FAULTS snippet_no_device, fnop
FAULTS snippet_load_ds, movw %ax, %ds
FAULTS snippet_load_es, movw %ax, %es
FAULTS snippet_load_ss, movw %ax, %ss
FAULTS snippet_host_jump, ljmp $0x50, $0
FAULTS snippet_hlt, hlt
FAULTS snippet_read_cr0, movl %cr0, %eax
FAULTS snippet_write_cr3, movl %eax, %cr3
FAULTS snippet_lidt, lidt (%esp)
FAULTS snippet_cli, cli
FAULTS snippet_sti, sti
FAULTS snippet_in, inb $0x80, %al
FAULTS snippet_out, outb %al, $0x80
FAULTS snippet_read, movl (%eax), %ebx
FAULTS snippet_write, movl %ebx, (%eax)
FAULTS snippet_spin, jmp snippet_spin

/* Each goes to what it is named by, so the address reported is that, not ours. */
FAULTS snippet_jump, jmp *%eax

	.macro INTERRUPTS name, vector
	SNIPPET \name
\name\()_at:
	int $\vector
	DONE
	.endm

INTERRUPTS snippet_int_hypercall, 0x1F
INTERRUPTS snippet_int_clock, 0x20
INTERRUPTS snippet_int_test, 0x41
INTERRUPTS snippet_int_timer, 0xF0
INTERRUPTS snippet_int_doorbell, 0xF1
INTERRUPTS snippet_int_page_fault, 14

/* An x87 error is reported at the next waiting instruction. */
SNIPPET snippet_x87
	fninit
	pushl $0x037B /* all masked but division by zero */
	fldcw (%esp)
	pushl $0
	fld1
	fdivs (%esp)
snippet_x87_at:
	fwait
	DONE

SNIPPET snippet_ring
	movl %cs, %ebx
snippet_ring_at:
	DONE

/* Reads through a segment: selector in eax. */
SNIPPET snippet_read_fs
	movw %ax, %fs
snippet_read_fs_at:
	movl %fs:0, %ebx
	DONE

SNIPPET snippet_read_gs
	movw %ax, %gs
snippet_read_gs_at:
	movl %gs:0, %ebx
	DONE

/* Can popf or iret raise IOPL, or clear the real IF? eax: flags to set; ebx: the flags then. */
SNIPPET snippet_popf
	pushfl
	orl %eax, (%esp)
	andl $~0x200, (%esp)
	popfl
	pushfl
	popl %ebx
snippet_popf_at:
	DONE

SNIPPET snippet_iret
	pushfl
	orl %eax, (%esp)
	andl $~0x200, (%esp)
	pushl %cs
	pushl $1f
	iret
1:	pushfl
	popl %ebx
snippet_iret_at:
	DONE

/* Ports, in every form of `in`: ebx counts those that gave all ones and left the rest of eax alone. */
SNIPPET snippet_in_all
	xorl %ebx, %ebx
	movl $0x1F0, %edx
	movl $0x12345678, %eax
	inb $0x60, %al
	cmpl $0x123456FF, %eax
	jne 1f
	incl %ebx
1:	movl $0x12345678, %eax
	inw $0x60, %ax
	cmpl $0x1234FFFF, %eax
	jne 1f
	incl %ebx
1:	movl $0x12345678, %eax
	inl $0x60, %eax
	cmpl $-1, %eax
	jne 1f
	incl %ebx
1:	movl $0x12345678, %eax
	inb %dx, %al
	cmpl $0x123456FF, %eax
	jne 1f
	incl %ebx
1:	movl $0x12345678, %eax
	inw %dx, %ax
	cmpl $0x1234FFFF, %eax
	jne 1f
	incl %ebx
1:	movl $0x12345678, %eax
	inl %dx, %eax
	cmpl $-1, %eax
	jne 1f
	incl %ebx
1:
snippet_in_all_at:
	DONE

SNIPPET snippet_out_all
	movl $0x1F0, %edx
	outb %al, $0x80
	outw %ax, $0x80
	outl %eax, $0x80
	outb %al, %dx
	outw %ax, %dx
	outl %eax, %dx
	movl $6, %ebx
snippet_out_all_at:
	DONE

/* Writes eax bytes of stack; ebx: how many words could be read back. */
SNIPPET snippet_stack
	xorl %ebx, %ebx
	shrl $2, %eax
1:	pushl %eax
	cmpl %eax, (%esp)
	jne snippet_stack_at
	incl %ebx
	decl %eax
	jnz 1b
snippet_stack_at:
	DONE

SNIPPET snippet_nt
	pushfl
	orl $0x4000, (%esp)
	popfl
snippet_nt_at:
	ud2

SNIPPET snippet_own_stack
	movl %esp, %eax
snippet_own_stack_at:
	ud2

SNIPPET snippet_registers
	movl $0x7B, %eax
	movw %ax, %fs
	movw %ax, %gs
	movl $0xA1, %eax
	movl $0xB2, %ebx
	movl $0xC3, %ecx
	movl $0xD4, %edx
	movl $0xE5, %esi
	movl $0xF6, %edi
	movl $0x17, %ebp
	pushl $1
	pushl $2
	stc
	std
snippet_registers_at:
	ud2

/* Ends with eax. */
SNIPPET snippet_exit
	movl %eax, %ebx
snippet_exit_at:
	DONE

/* Writes four bytes from eax, and ends with the result. */
SNIPPET snippet_write_call
	movl %eax, %ebx
	movl $4, %ecx
	movl $SYS_WRITE, %eax
snippet_write_call_at:
	int $SYSTEM_CALL_VECTOR
	movl %eax, %ebx
	DONE

/* Ends with the FPU's status word above its control word, as they are at first. */
SNIPPET snippet_fpu_clean
	pushl $0
	fnstsw (%esp)
	popl %ebx
	shll $16, %ebx
	pushl $0
	fnstcw (%esp)
	orl (%esp), %ebx
snippet_fpu_clean_at:
	DONE

	.section .note.GNU-stack, "", @progbits
