/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel's first instruction, and the ways into its own IDT.
 * Entered as host_kernel/machine/machine.h says: 32-bit protected mode, flat segments, paging off, ebx = struct machine.
 * Read next: host_kernel/core/main.c.
 */
#include "offsets.h"
#include "switcher/frame.h"

	.section .text.start, "ax"
	.globl _start
_start:
	cli
	cld
	movl $boot_stack_end, %esp
	pushl %ebx
	call host_main			/* void host_main(const struct machine *) */
0:	hlt
	jmp 0b

/* void load_tables(const struct table_register *gdt, const struct table_register *idt); */
	.text
	.globl load_tables
load_tables:
	movl 4(%esp), %eax
	lgdt TABLE_REGISTER_limit(%eax)
	movl 8(%esp), %eax
	lidt TABLE_REGISTER_limit(%eax)
	movl $HOST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
	ljmp $HOST_CS, $0f
0:	movl $TSS_SEL, %eax
	ltr %ax
	ret

/* void load_ldt_register(u32 selector);  From the Guest's GDT, in which HOST_CS and HOST_DS are ours. */
	.globl load_ldt_register
load_ldt_register:
	movl 4(%esp), %eax
	lgdt SWITCHER_STATE_PAGE + LGUEST_STATE_guest_gdt + TABLE_REGISTER_limit
	lldt %ax
	lgdt SWITCHER_STATE_PAGE + LGUEST_STATE_host_gdt + TABLE_REGISTER_limit
	ret

/* void wait_for_interrupt(void);  Interrupts are open for just this instruction: one that is pending ends it. */
	.globl wait_for_interrupt
wait_for_interrupt:
	sti
doze:	hlt
	cli
	ret

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

	.section .bss.stack, "aw", @nobits	/* host_kernel.ld says where it ends */
	.balign 4096
	.skip 16384
