/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Switcher: the one page of code that stands at the same address in the Host's page tables and in the
 * Guest's, so that it can go from one to the other.  It runs in ring 0 with interrupts off.
 *
 * This is the classic world switch, in the original's five steps: stack, GDT, IDT, TSS, page tables.
 *
 * Three things make it safe:
 * - Selectors HOST_CS and HOST_DS mean the same in both GDTs, so an NMI between two loads finds its segments.
 * - In the Guest's page tables ring 1 can read all of this page and of the state page, and can write the stack
 *   page: so nothing but the frame that was just pushed is believed, and no secret is kept here.
 * - A fault of our own while the Guest's registers are popped arrives on the half-emptied frame.  The Host
 *   kernel sees that the frame is not where a Guest's frame must be, and ends the Guest.
 *
 * Read before: switcher/layouts/lguest_pages.h.  Read next: host_kernel/core/run.c, which calls switch_to_guest; lean.S, the quicker way.
 */
#include "offsets.h"
#include "switcher/layouts/frame.h"

#define STATE(field)     (SWITCHER_STATE_PAGE + LGUEST_STATE_##field)
#define BASE_OF(field)   (STATE(field) + TABLE_REGISTER_base)
#define LOADABLE(field)  (STATE(field) + TABLE_REGISTER_limit)
#define FRAME            (SWITCHER_STACK_PAGE + 4096 - REGISTERS_SIZE)
#define TSS_TYPE_BYTE    (GDT_TSS * 8 + 5)
#define NOT_BUSY         0xFD /* ltr refuses a TSS that is marked busy, and marks the one it loads */
#define VECTOR_BIAS      128  /* so that push of any vector is a two-byte instruction */

	.section .switcher, "ax"

/*
 * u32 switch_to_guest(void);
 *
 * Runs the Guest with the registers in the frame at the end of the stack page until it comes back, for
 * whatever reason.  Returns the address of the frame that was pushed then; where that is not the frame's
 * proper place, the Switcher itself faulted.
 */
	.globl switch_to_guest
switch_to_guest:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, STATE(host_esp)
	movl $FRAME, %esp			/* 1: the stack */
	lgdt LOADABLE(guest_gdt)		/* 2: the GDT */
	lidt LOADABLE(guest_idt)		/* 3: the IDT */
	andb $NOT_BUSY, STATE(gdt) + TSS_TYPE_BYTE
	andb $NOT_BUSY, STATE(gdt_user) + TSS_TYPE_BYTE
	movl $TSS_SEL, %eax
	ltr %ax					/* 4: the TSS; the last write to the state page */
	movl STATE(guest_cr3), %eax
	movl %eax, %cr3				/* 5: the page tables */
	popl %eax
	popl %ebx
	popl %ecx
	popl %edx
	popl %esi
	popl %edi
	popl %ebp
	popl %gs
	popl %fs
	popl %ds
	popl %es
	addl $8, %esp				/* trapnum and errcode */
	.globl switcher_iret
switcher_iret:
	iret

/* The way back, up to the Host's stack, tables and segments; eax is the frame's address.  Clobbers edx. */
.macro SWITCH_TO_HOST
	addl $VECTOR_BIAS, (%esp)
	PUSH_REGISTERS
	movl $HOST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs				/* a Guest descriptor must not stay in use while its GDT may change */
	movl %eax, %gs
	movl %esp, %eax
	movl STATE(host_cr3), %edx
	movl %edx, %cr3
	movl STATE(host_esp), %esp
	lgdt LOADABLE(host_gdt)
	lidt LOADABLE(host_idt)
	movl STATE(host_gdt_base), %edx
	andb $NOT_BUSY, TSS_TYPE_BYTE(%edx)
	movl $TSS_SEL, %edx
	ltr %dx
.endm

.macro RETURN_FROM_SWITCH
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret
.endm

/* A trap or a hypercall: the Host kernel finds the vector in the frame. */
fault:
return_to_host:
	cld
	SWITCH_TO_HOST
	RETURN_FROM_SWITCH

/* One of the machine's interrupts: its handler in the Host's own IDT runs as if the interrupt had hit the Host. */
deliver_to_host:
	cld
	SWITCH_TO_HOST
	movl REGISTERS_trapnum(%eax), %ecx	/* of the frame that was pushed, wherever it is */
	movl BASE_OF(host_idt), %edx
	movl 4(%edx, %ecx, 8), %ebx		/* a gate's upper word holds the offset's upper half */
	movw (%edx, %ecx, 8), %bx
	movl %eax, %esi				/* kept by the handler */
	pushfl
	pushl %cs
	call *%ebx
	movl %esi, %eax
	RETURN_FROM_SWITCH

#include "switcher/fast_paths.h"

/* An NMI is not the Guest's business, and nothing here waits for one: carry on where it struck. */
nmi_return:
	iret

/*
 * The 256 ways in.  Each makes its frame alike: an error code (0 where the CPU pushes none) and the vector.
 * extern const u32 classic_entries[256] lists their addresses for the Guest's IDT.
 */
.macro ENTRY_FOR vector
	.pushsection .rodata.classic_entries, "a"
	.long 1f
	.popsection
1:
	.if \vector == 2
	jmp nmi_return
	.elseif \vector == 11
	jmp segment_not_present
	.elseif \vector == 13
	jmp general_protection
	.else
	EVEN_ERROR_CODE \vector
	pushl $(\vector - VECTOR_BIAS)
	.if \vector == VECTOR_TIMER || \vector == VECTOR_DOORBELL || \vector == VECTOR_SPURIOUS
	jmp deliver_to_host
	.else
	jmp return_to_host
	.endif
	.endif
.endm

	.pushsection .rodata.classic_entries, "a"
	.balign 4
	.globl classic_entries
classic_entries:
	.popsection

	.altmacro
	.set vector, 0
	.rept 256
	ENTRY_FOR %vector
	.set vector, vector + 1
	.endr
	.noaltmacro
