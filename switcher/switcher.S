/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Switcher: one page of code that is mapped at the same address in the Host's page tables and in the Guest's, so that
 * it can load CR3 and continue.  It runs in ring 0 with interrupts off.
 *
 * This is the classic world switch, in the five steps of the original lguest: stack, GDT, IDT, TSS, page tables.
 *
 * Three properties make it safe:
 * - HOST_CS and HOST_DS name the same segments in both GDTs, so an NMI between two loads finds valid segments.
 * - Ring 1 can read this page and the state page and can write the stack page.  Therefore the Host kernel trusts only the
 *   frame that was just pushed, and no secret is stored in these pages.
 * - A fault of the Switcher's own while it pops the Guest's registers pushes a frame at a lower address.  The Host kernel
 *   sees that the frame is not at FRAME and kills the Guest.
 *
 * The stack page:
 *
 *     page + 0x1000   end: TSS.esp0
 *     FRAME + 68      ss        <- the CPU pushes from here on a trap
 *     FRAME + 64      esp
 *     FRAME + 60      eflags
 *     FRAME + 56      cs
 *     FRAME + 52      eip       <- iret to the Guest pops from here
 *     FRAME + 48      errcode   pushed by the CPU or by the entry
 *     FRAME + 44      trapnum   pushed by the entry, less VECTOR_BIAS
 *     FRAME + 40      es        <- PUSH_REGISTERS from here
 *     FRAME + 36 .. + 4         ds, fs, gs, ebp, edi, esi, edx, ecx, ebx
 *     FRAME           eax       <- esp when the switch to the Guest starts, and when the one back ends
 *
 * Read before: switcher/layouts/lguest_pages.h, host_kernel/core/run.c, which calls switch_to_guest.  Read next: lean.S, the faster Switcher.
 * Next in the book: lean.S.
 */
#include "offsets.h"
#include "switcher/layouts/frame.h"

#define BASE_OF(field)   (STATE(field) + TABLE_REGISTER_base)
#define TSS_TYPE_BYTE    (GDT_TSS * 8 + 5)
#define NOT_BUSY         0xFD /* ltr faults on a busy TSS, and marks the one it loads as busy */
#define VECTOR_BIAS      128  /* so that push of any vector is a two-byte instruction */

	.section .switcher, "ax"

/*
 * u32 switch_to_guest(void);
 *
 * Runs the Guest with the registers at FRAME until its next exit.  Returns the address of the frame that the exit
 * pushed; if it is not FRAME, the Switcher itself faulted.
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
	ltr %ax					/* 4: the TSS, by a write to the GDT: the state page is read-only after step 5 */
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

	.globl classic_return
classic_return:
	RETURN_BY_SECOND_FRAME

/* Back to the Host's page tables, stack, descriptor tables and segments.  eax: the address of the frame.  Clobbers edx. */
.macro SWITCH_TO_HOST
	addl $VECTOR_BIAS, (%esp)
	PUSH_REGISTERS
	movl $HOST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs				/* the Host kernel may change the Guest's GDT: none of its descriptors may stay loaded */
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

/* A trap or a hypercall: the vector in the frame is the exit reason. */
fault:
return_to_host:
	cld
	SWITCH_TO_HOST
	RETURN_FROM_SWITCH

/* An interrupt of the machine: call the handler in the Host's IDT as if the interrupt had hit the Host kernel. */
deliver_to_host:
	cld
	SWITCH_TO_HOST
	movl REGISTERS_trapnum(%eax), %ecx	/* of the frame that was pushed, which need not be at FRAME */
	movl BASE_OF(host_idt), %edx
	movl 4(%edx, %ecx, 8), %ebx		/* a gate's upper word holds the offset's upper half */
	movw (%edx, %ecx, 8), %bx
	movl %eax, %esi				/* callee-saved */
	pushfl
	pushl %cs
	call *%ebx
	movl %esi, %eax
	RETURN_FROM_SWITCH

#include "switcher/fast_paths.h"
#include "switcher/descriptor_stores.h"
#include "switcher/debug_exception.h"

/* An NMI is ignored: neither the Guest nor the Host kernel uses NMIs. */
nmi_return:
	iret

/*
 * The 256 entry points.  Each pushes an error code, where the CPU did not, and the vector, so that all frames are alike.
 * extern const u32 classic_entries[256] lists their addresses for the Guest's IDT.
 */
.macro ENTRY_FOR vector
	.pushsection .rodata.classic_entries, "a"
	.if \vector == VECTOR_NOT_PRESENT
	.long segment_not_present
	.elseif \vector == VECTOR_GENERAL_PROTECTION
	.long general_protection
	.elseif \vector == VECTOR_PAGE_FAULT
	.long descriptor_store
	.else
	.long 1f
	.endif
	.popsection
1:
	.if \vector == VECTOR_NMI
	jmp nmi_return
	.elseif \vector == VECTOR_DEBUG
	jmp debug_exception
	.elseif \vector == VECTOR_NOT_PRESENT || \vector == VECTOR_GENERAL_PROTECTION || \vector == VECTOR_PAGE_FAULT
	/* no jump to them: they are the most frequent */
	.elseif \vector < EXCEPTIONS
	EVEN_ERROR_CODE \vector
	pushl $(\vector - VECTOR_BIAS)
	jmp return_to_host
	.elseif \vector == VECTOR_TIMER || \vector == VECTOR_DOORBELL || \vector == VECTOR_SPURIOUS
	pushl $0
	pushl $(\vector - VECTOR_BIAS)
	jmp deliver_to_host
	.else
	pushl $(\vector - VECTOR_BIAS)		/* no more than this for each: the page is full */
	jmp without_error_code
	.endif
.endm

/* The rest of an entry of a vector that has no error code. */
without_error_code:
	pushl (%esp)
	movl $0, 4(%esp)
	jmp return_to_host

	.pushsection .rodata.classic_entries, "a"
	.balign 4
	.globl classic_entries
classic_entries:
	.popsection

	.altmacro
	.set vector, 0
	.rept IDT_ENTRIES
	ENTRY_FOR %vector
	.set vector, vector + 1
	.endr
	.noaltmacro
