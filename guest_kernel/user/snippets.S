/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of code that make one trap each, for the `fault` command and the tests. They are linked as a program; the
 * tests run them in ring 1 too, which may execute a program's pages. eax is an argument, and ebx is the result for
 * the tests. The trap of NAME must report the address NAME_at. A piece that makes no other trap ends by the system
 * call SYS_EXIT with exit code ebx.
 *
 * Read next: snippets.h.
 */
#include "offsets.h"
#include "guest_kernel/base/layout.h"

#define EFLAGS_TF 0x0100
#define EFLAGS_IF 0x0200
#define EFLAGS_NT 0x4000

#define SOME_PORT      0x80 /* for immediate ports, which have 8 bits */
#define SOME_PORT_DX   0x1F0
#define TEST_VECTOR    0x41 /* as in test_gates.c */
#define X87_CONTROL    0x037B /* all exceptions masked but division by zero */

	.section .user.text, "ax"

	.macro SNIPPET name
	.globl \name, \name\()_at
\name:
	.endm

	.macro DONE
	movl $SYS_EXIT, %eax
	int $SYSTEM_CALL_VECTOR
	.endm

	/* One instruction that faults: the address reported is its own. */
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

/* Single step: the trap comes after the instruction that follows popf. */
SNIPPET snippet_debug
	pushfl
	orl $EFLAGS_TF, (%esp)
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
FAULTS snippet_host_jump, ljmp $HOST_CS, $0
FAULTS snippet_hlt, hlt
FAULTS snippet_read_cr0, movl %cr0, %eax
FAULTS snippet_write_cr3, movl %eax, %cr3
FAULTS snippet_lidt, lidt (%esp)
FAULTS snippet_cli, cli
FAULTS snippet_sti, sti
FAULTS snippet_in, inb $SOME_PORT, %al
FAULTS snippet_out, outb %al, $SOME_PORT
FAULTS snippet_read, movl (%eax), %ebx
FAULTS snippet_write, movl %ebx, (%eax)
FAULTS snippet_spin, jmp snippet_spin

/* The address reported is the jump's target. */
FAULTS snippet_jump, jmp *%eax

	.macro INTERRUPTS name, vector
	SNIPPET \name
\name\()_at:
	int $\vector
	DONE
	.endm

INTERRUPTS snippet_int_hypercall, HYPERCALL_VECTOR
INTERRUPTS snippet_int_clock, FIRST_IRQ_VECTOR
INTERRUPTS snippet_int_test, TEST_VECTOR
INTERRUPTS snippet_int_timer, VECTOR_TIMER
INTERRUPTS snippet_int_doorbell, VECTOR_DOORBELL
INTERRUPTS snippet_int_page_fault, 14 /* TRAP_PAGE_FAULT */

/* An x87 error is reported at the next waiting instruction. */
SNIPPET snippet_x87
	fninit
	pushl $X87_CONTROL
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

/* Reads through a segment with the selector in eax. */
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

/* Try to raise IOPL and to clear the processor's IF. eax: flags to set; ebx: the flags afterwards. */
SNIPPET snippet_popf
	pushfl
	orl %eax, (%esp)
	andl $~EFLAGS_IF, (%esp)
	popfl
	pushfl
	popl %ebx
snippet_popf_at:
	DONE

SNIPPET snippet_iret
	pushfl
	orl %eax, (%esp)
	andl $~EFLAGS_IF, (%esp)
	pushl %cs
	pushl $1f
	iret
1:	pushfl
	popl %ebx
snippet_iret_at:
	DONE

/* Every form of `in`. ebx: how many of them returned all ones and preserved the rest of eax. */
SNIPPET snippet_in_all
	xorl %ebx, %ebx
	movl $SOME_PORT_DX, %edx
	movl $0x12345678, %eax
	inb $SOME_PORT, %al
	cmpl $0x123456FF, %eax
	jne 1f
	incl %ebx
1:	movl $0x12345678, %eax
	inw $SOME_PORT, %ax
	cmpl $0x1234FFFF, %eax
	jne 1f
	incl %ebx
1:	movl $0x12345678, %eax
	inl $SOME_PORT, %eax
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

/* Every form of `out`. ebx: how many of them there are. */
SNIPPET snippet_out_all
	movl $SOME_PORT_DX, %edx
	outb %al, $SOME_PORT
	outw %ax, $SOME_PORT
	outl %eax, $SOME_PORT
	outb %al, %dx
	outw %ax, %dx
	outl %eax, %dx
	movl $6, %ebx
snippet_out_all_at:
	DONE

/* Pushes eax bytes. ebx: how many words of them were read back. */
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
	orl $EFLAGS_NT, (%esp)
	popfl
snippet_nt_at:
	ud2

SNIPPET snippet_own_stack
	movl %esp, %eax
snippet_own_stack_at:
	ud2

/* A different value in each register, for test_traps.c. */
SNIPPET snippet_registers
	movl $USER_DS, %eax
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

/* Exits with eax. */
SNIPPET snippet_exit
	movl %eax, %ebx
snippet_exit_at:
	DONE

/* Calls SYS_WRITE for four bytes at eax, and exits with the result. */
SNIPPET snippet_write_call
	movl %eax, %ebx
	movl $4, %ecx
	movl $SYS_WRITE, %eax
snippet_write_call_at:
	int $SYSTEM_CALL_VECTOR
	movl %eax, %ebx
	DONE

/* Exits with the initial FPU status word in the high half and the control word in the low half. */
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
