/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sequences of instructions that C cannot express: load the descriptor tables, wait for an interrupt. */
#include "offsets.h"

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

/* void load_ldt_register(u32 selector);  From the Guest's GDT, in which HOST_CS and HOST_DS are valid. */
	.globl load_ldt_register
load_ldt_register:
	movl 4(%esp), %eax
	lgdt SWITCHER_STATE_PAGE + LGUEST_STATE_guest_gdt + TABLE_REGISTER_limit
	lldt %ax
	lgdt SWITCHER_STATE_PAGE + LGUEST_STATE_host_gdt + TABLE_REGISTER_limit
	ret

/* void wait_for_interrupt(void);  Interrupts are enabled only during hlt: a pending one ends it. */
	.globl wait_for_interrupt, doze
wait_for_interrupt:
	sti
doze:	hlt
	cli
	ret
