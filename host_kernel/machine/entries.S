/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways into the Host kernel's own IDT: the machine's interrupts, and exceptions in ring 0.
 * Read before: tables.c.  Read next: interrupt.c.
 */
#include "offsets.h"
#include "switcher/layouts/frame.h"

	.text
/*
 * Interrupts of the machine: void host_interrupt(u32 vector).  One that comes between the sti and the hlt ends the wait
 * too, since the hlt could sleep for ever.  A processor holds it back there; the one that QEMU emulates for a nested KVM
 * forgets to, now and then.
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

/* A spurious interrupt wants no acknowledgement; an NMI none either. */
	.globl ignore_entry
ignore_entry:
	iret

/* Exceptions in the Host kernel are its end: void host_exception(struct registers *), which does not return. */
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
	.rept 32
	EXCEPTION %vector
	.set vector, vector + 1
	.endr
	.noaltmacro

/* The frame is struct registers but for esp and ss, which ring 0 to ring 0 does not push. */
	.globl exception_common
exception_common:
	PUSH_REGISTERS
	pushl %esp
	call host_exception
