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
	/*
	 * The caller is C code (run.c), which counts on these four registers: they wait on the Host's stack until the
	 * Guest's next exit.
	 */
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	/*
	 * The only way back to the Host's stack: the Switcher finds it here after the exit, when every register is the
	 * Guest's.
	 */
	movl %esp, STATE(host_esp)
	/*
	 * From here on the stack is the page that both worlds map.  It holds the Guest's registers, which the Host kernel
	 * has prepared.  It comes first: an NMI after the load of CR3 needs a stack that is mapped.
	 */
	movl $FRAME, %esp			/* 1: the stack */
	/*
	 * The Guest's descriptor tables.  The segment registers keep what they have loaded, and the Host's two selectors
	 * mean the same in both tables, so nothing changes for this code.
	 */
	lgdt LOADABLE(guest_gdt)		/* 2: the GDT */
	lidt LOADABLE(guest_idt)		/* 3: the IDT */
	/*
	 * ltr marks the TSS in the GDT as busy, and faults if it is already.  It still is from the last time, in both of
	 * the Guest's tables.
	 */
	andb $NOT_BUSY, STATE(gdt) + TSS_TYPE_BYTE
	andb $NOT_BUSY, STATE(gdt_user) + TSS_TYPE_BYTE
	/*
	 * The TSS says which stack the CPU takes when a trap leads to ring 0.  The Guest's points to the end of this page:
	 * without it the next trap would push onto the Host's stack, which the Guest's page tables lack.
	 */
	movl $TSS_SEL, %eax
	ltr %ax					/* 4: the TSS, by a write to the GDT: the state page is read-only after step 5 */
	/*
	 * The switch itself: from the next instruction on the shadow page tables hold, where the Host kernel does not
	 * exist.  The CPU goes on because this page is mapped at the same address in both.
	 */
	movl STATE(guest_cr3), %eax
	movl %eax, %cr3				/* 5: the page tables */
	/*
	 * The Guest's registers, from the lowest word of the frame up.  Nothing of the Host's may be left in one, since
	 * the Guest can read them all.
	 */
	popl %eax
	popl %ebx
	popl %ecx
	popl %edx
	popl %esi
	popl %edi
	popl %ebp
	/*
	 * The Guest's segments come last: the stack and this code need none of them.  A selector that cannot be loaded
	 * faults here, and the Host kernel kills the Guest.
	 */
	popl %gs
	popl %fs
	popl %ds
	popl %es
	/* Two words that only the Host kernel reads: iret wants eip on top. */
	addl $8, %esp				/* trapnum and errcode */
	.globl switcher_iret
switcher_iret:
	/*
	 * Back to ring 1 or 3: it loads eip, cs, eflags, esp and ss at once.  An iret is the only way to lower privilege
	 * and to set the stack and the interrupt flag in one instruction.
	 */
	iret

	.globl classic_return
classic_return:
	RETURN_BY_SECOND_FRAME

/* Back to the Host's page tables, stack, descriptor tables and segments.  eax: the address of the frame.  Clobbers edx. */
.macro SWITCH_TO_HOST
	/* The entry pushed the vector less 128, because that makes a shorter instruction: this puts the number right. */
	addl $VECTOR_BIAS, (%esp)
	PUSH_REGISTERS
	/* The Guest's descriptors are no place for the Host kernel's data: all four get the flat segment of ring 0. */
	movl $HOST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs				/* the Host kernel may change the Guest's GDT: none of its descriptors may stay loaded */
	movl %eax, %gs
	/* Where the registers were saved is the result of the C routine.  In the right case it is FRAME. */
	movl %esp, %eax
	/*
	 * Back to the Host's page tables, in which all of the machine's memory is mapped.  Only now the Host kernel's code
	 * and stack exist again.
	 */
	movl STATE(host_cr3), %edx
	movl %edx, %cr3
	/* The stack that switch_to_guest left, with four registers and the return address on it. */
	movl STATE(host_esp), %esp
	/*
	 * The Host's own descriptor tables: a trap from here on is the Host kernel's, with other handlers than the
	 * Guest's.
	 */
	lgdt LOADABLE(host_gdt)
	lidt LOADABLE(host_idt)
	/* The Host's TSS is busy since it was loaded the last time, and ltr faults on a busy one. */
	movl STATE(host_gdt_base), %edx
	andb $NOT_BUSY, TSS_TYPE_BYTE(%edx)
	movl $TSS_SEL, %edx
	ltr %dx
.endm

.macro RETURN_FROM_SWITCH
	/* The four registers of the caller, in the reverse order. */
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	/*
	 * Into run.c, as the return of the call that entered the Guest.  For the C code a Guest's whole run was one
	 * function call.
	 */
	ret
.endm

/* A trap or a hypercall: the vector in the frame is the exit reason. */
fault:
return_to_host:
	/* C code expects the direction flag to be clear, and the Guest may have set it. */
	cld
	SWITCH_TO_HOST
	RETURN_FROM_SWITCH

/* An interrupt of the machine: call the handler in the Host's IDT as if the interrupt had hit the Host kernel. */
deliver_to_host:
	/* C code expects the direction flag to be clear, and the Guest may have set it. */
	cld
	SWITCH_TO_HOST
	/* The handler's address stands in the Host's IDT, in two halves of the gate. */
	movl REGISTERS_trapnum(%eax), %ecx	/* of the frame that was pushed, which need not be at FRAME */
	movl BASE_OF(host_idt), %edx
	movl 4(%edx, %ecx, 8), %ebx		/* a gate's upper word holds the offset's upper half */
	movw (%edx, %ecx, 8), %bx
	/* The handler keeps this register: the result of the switch waits there. */
	movl %eax, %esi				/* callee-saved */
	/* What the CPU would have pushed for the interrupt, since the handler ends with iret. */
	pushfl
	pushl %cs
	call *%ebx
	/* The result of the switch again. */
	movl %esi, %eax
	RETURN_FROM_SWITCH

#include "switcher/fast_paths.h"
#include "switcher/descriptor_stores.h"
#include "switcher/debug_exception.h"

/* An NMI is ignored: neither the Guest nor the Host kernel uses NMIs. */
nmi_return:
	/* Nothing was changed yet, so there is nothing to restore. */
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
	/* NMIs are ignored, at one place. */
	jmp nmi_return
	.elseif \vector == VECTOR_DEBUG
	/* Breakpoints of the Guest's may go off in ring 0: that is decided at one place. */
	jmp debug_exception
	.elseif \vector == VECTOR_NOT_PRESENT || \vector == VECTOR_GENERAL_PROTECTION || \vector == VECTOR_PAGE_FAULT
	/* no jump to them: they are the most frequent */
	.elseif \vector < EXCEPTIONS
	EVEN_ERROR_CODE \vector
	/* The number of the exception, less 128: the Host kernel reads it as the exit reason. */
	pushl $(\vector - VECTOR_BIAS)
	jmp return_to_host
	.elseif \vector == VECTOR_TIMER || \vector == VECTOR_DOORBELL || \vector == VECTOR_SPURIOUS
	/*
	 * An interrupt has no error code: 0 keeps all frames alike.  Then its vector, and the Host's handler is called
	 * after the switch.
	 */
	pushl $0
	pushl $(\vector - VECTOR_BIAS)
	jmp deliver_to_host
	.else
	/* The number of the vector, in the place of the error code for now. */
	pushl $(\vector - VECTOR_BIAS)		/* no more than this for each: the page is full */
	jmp without_error_code
	.endif
.endm

/* The rest of an entry of a vector that has no error code. */
without_error_code:
	/* Make the frame like all others: the vector below, and 0 for the error code that the CPU did not push. */
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
