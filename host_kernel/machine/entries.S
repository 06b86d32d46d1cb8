/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entry points of the Host kernel's IDT: interrupts of the machine, and exceptions in ring 0.
 * Read before: tables.c.  Read next: interrupt.c.
 * Next in the book: interrupt.c.
 */
#include "offsets.h"
#include "switcher/layouts/frame.h"

	.text
/*
 * Interrupts of the machine: void host_interrupt(u32 vector).  One that arrives between sti and hlt skips the hlt, which
 * could otherwise sleep without end.  A processor delays the interrupt until after the hlt, but the one that QEMU emulates
 * for a nested KVM does not always do so.
 */
.macro INTERRUPT name, vector
	.globl \name
\name:
	cmpl $doze, (%esp)
	jne 1f
	incl (%esp)			/* hlt is one byte long */
1:	pushal
	cld
	pushl $\vector
	call host_interrupt
	addl $4, %esp
	popal
	iret
.endm
	INTERRUPT timer_entry, VECTOR_TIMER
	INTERRUPT doorbell_entry, VECTOR_DOORBELL

/* Neither a spurious interrupt nor an NMI has an end-of-interrupt. */
	.globl ignore_entry
ignore_entry:
	iret

/* A breakpoint of the Guest's, at an address that is the Host kernel's too (debug_registers.c); else ring 0 has an error. */
	.globl debug_entry
debug_entry:
	testl $FLAG_TF, DEBUG_EFLAGS(%esp)
	jnz 1f
	IGNORE_DEBUG_EXCEPTION
1:	pushl $0
	pushl $VECTOR_DEBUG
	jmp exception_common

/* Exceptions in the Host kernel end it: void host_exception(struct registers *), which does not return. */
	.macro EXCEPTION vector
	.pushsection .rodata.exceptions, "a"
	.long 1f
	.popsection
1:
	EVEN_ERROR_CODE \vector
	pushl $\vector
	jmp exception_common
	.endm

	.pushsection .rodata.exceptions, "a"
	.balign 4
	.globl exception_entries	/* extern const u32 exception_entries[32]; */
exception_entries:
	.popsection
	.altmacro
	.set vector, 0
	.rept EXCEPTIONS
	EXCEPTION %vector
	.set vector, vector + 1
	.endr
	.noaltmacro

/* The frame is struct registers without esp and ss, which the CPU does not push from ring 0 to ring 0. */
	.globl exception_common
exception_common:
	PUSH_REGISTERS
	pushl %esp
	call host_exception
