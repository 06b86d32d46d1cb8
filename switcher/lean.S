/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lean Switcher: a world switch in two steps, the page tables and the stack.  It stands where the classic one does,
 * with the same contract; struct machine says which of the two is mapped.
 *
 * The Host kernel runs on the Guest's GDT, IDT and TSS: its own selectors in them are out of the Guest's reach, and
 * it writes them through its own mapping, so the region can be read-only in both worlds.  So a gate does not tell
 * whose trap it is; the ring that the CPU saved does.
 *
 * Read before: switcher.S, for what makes a switch safe.  Read next: reflect.h, host_kernel/machine/tables.c.
 */
#include "offsets.h"
#include "switcher/layouts/frame.h"

#define STATE(field)     (SWITCHER_STATE_PAGE + LGUEST_STATE_##field)
#define LOADABLE(field)  (STATE(field) + TABLE_REGISTER_limit)
#define FRAME            (SWITCHER_STACK_PAGE + 4096 - REGISTERS_SIZE)
#define VECTOR_BIAS      0

	.section .switcher_lean, "ax"

/*
 * u32 switch_to_guest_lean(void);
 *
 * As switch_to_guest (switcher.S).  The Guest's ds to gs are its own from the first pop on: nothing here may need
 * them behind it.
 */
	.globl switch_to_guest_lean
switch_to_guest_lean:
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	movl %esp, STATE(host_esp)
	movl $FRAME, %esp			/* first: an NMI behind the next needs a stack that is there */
	movl STATE(guest_cr3), %eax
	movl %eax, %cr3
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
	.globl switcher_lean_iret
switcher_lean_iret:
	iret

/*
 * The way back, onto the Host's stack.  fs and gs keep the Guest's selectors: the Host has no use for them, and they
 * are loaded anew before the Guest could see that its GDT has changed.
 */
.macro SWITCH_TO_HOST
	PUSH_REGISTERS
	movl $HOST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %esp, %eax
	movl STATE(host_cr3), %edx
	movl %edx, %cr3
	movl STATE(host_esp), %esp
	cld
.endm

.macro RETURN_FROM_SWITCH
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret
.endm

/* A fault.  The Switcher's own is told by its place; one of the Host kernel's is its end (start.S). */
#define AT_EIP    8 /* above vector and error code */
#define AT_CS     12
#define AT_EFLAGS 16
#define RPL 3
fault:
	testb $RPL, AT_CS(%esp)
	jz in_ring_0
return_to_host:
	SWITCH_TO_HOST
	RETURN_FROM_SWITCH
in_ring_0:
	testl $FLAG_VM, AT_EFLAGS(%esp)		/* then cs is no selector */
	jnz return_to_host
	cmpl $SWITCHER_BASE, AT_EIP(%esp)
	jb exception_common
	cmpl $reflect_may_fault, AT_EIP(%esp)
	jb return_to_host
	cmpl $reflect_is_safe, AT_EIP(%esp)
	jae return_to_host
	addl $20, %esp				/* vector, error code and the three that ring 0 pushes for itself */
	jmp reflect_gives_up

/* One of the machine's interrupts, while the Guest ran. */
deliver_to_host:
	SWITCH_TO_HOST
	pushl %eax
	pushl REGISTERS_trapnum(%eax)		/* of the frame that was pushed, wherever it is */
	call host_interrupt			/* void host_interrupt(u32 vector) */
	addl $4, %esp
	popl %eax
	RETURN_FROM_SWITCH

/*
 * A hypercall, from ring 1 only.  One that asks for nothing but to look at the ring, in which there is nothing, while no
 * interrupt waits, is answered here: reads go through cs and ss, since the others are the Guest's.
 */
hypercall:
	testl %eax, %eax			/* FLUSH_ASYNC */
	jnz 1f
	cmpl %eax, %cs:STATE(interrupt_pending)
	jne 1f
	movl %cs:STATE(ring_status), %eax
	cmpb $HCALL_FREE, %cs:(%eax)
	movl $LHCALL_FLUSH_ASYNC, %eax		/* leaves the flags */
	jne 1f
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	iret
1:	pushl $0
	pushl $HYPERCALL_VECTOR
	jmp return_to_host

#include "switcher/fast_paths.h"
#include "switcher/reflect.h"

/* The 256 ways in, as in switcher.S.  extern const u32 lean_entries[256] */
.macro ENTRY_FOR vector
	.pushsection .rodata.lean_entries, "a"
	.long 1f
	.popsection
1:
	.if \vector == 2
	iret					/* an NMI: carry on where it struck */
	.elseif \vector == 11
	jmp segment_not_present
	.elseif \vector == 13
	jmp general_protection
	.elseif \vector == 14
	jmp page_fault
	.elseif \vector == HYPERCALL_VECTOR
	jmp hypercall
	.elseif \vector < 32
	EVEN_ERROR_CODE \vector
	pushl $\vector
	jmp fault
	.elseif \vector == VECTOR_TIMER
	MACHINE_INTERRUPT \vector, timer_entry
	.elseif \vector == VECTOR_DOORBELL
	MACHINE_INTERRUPT \vector, doorbell_entry
	.elseif \vector == VECTOR_SPURIOUS
	iret					/* wants no acknowledgement */
	.else
	pushl $0
	pushl $\vector
	jmp return_to_host
	.endif
.endm

/* The Host's own, while it waits for an interrupt, go to its handlers in start.S. */
.macro MACHINE_INTERRUPT vector, handler
	testb $RPL, 4(%esp)
	jnz 2f
	testl $FLAG_VM, 8(%esp)
	jz \handler
2:	pushl $0
	pushl $\vector
	jmp deliver_to_host
.endm

	.pushsection .rodata.lean_entries, "a"
	.balign 4
	.globl lean_entries
lean_entries:
	.popsection

	.altmacro
	.set vector, 0
	.rept 256
	ENTRY_FOR %vector
	.set vector, vector + 1
	.endr
	.noaltmacro
