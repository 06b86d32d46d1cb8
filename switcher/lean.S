/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lean Switcher: a world switch in two steps, the page tables and the stack.  It is mapped at the same address as the
 * classic one and has the same contract; struct machine says which of the two is mapped.
 *
 * The Host kernel runs on the Guest's GDT, IDT and TSS, so they need not be loaded.  The Guest cannot change the Host's
 * descriptors in them: they are read-only in the Guest's page tables, and the Host kernel writes them through a mapping
 * of its own.  A trap of either world arrives through the same gate; the ring that the CPU saved tells which world it was.
 *
 * The stack page during a world switch.  To the Guest, esp starts at FRAME and pops; from the Guest, the CPU starts at
 * the end of the page and pushes:
 *
 *     page + 0x1000   end: TSS.esp0
 *     FRAME + 68      ss        <- the CPU pushes from here on a trap
 *     FRAME + 64      esp
 *     FRAME + 60      eflags
 *     FRAME + 56      cs
 *     FRAME + 52      eip       <- iret to the Guest pops from here
 *     FRAME + 48      errcode   pushed by the CPU or by the entry
 *     FRAME + 44      trapnum   pushed by the entry
 *     FRAME + 40      es        <- PUSH_REGISTERS from here
 *     FRAME + 36 .. + 4         ds, fs, gs, ebp, edi, esi, edx, ecx, ebx
 *     FRAME           eax       <- esp when the switch to the Guest starts, and when the one back ends
 *
 * The Host kernel's stack ends in ebp, ebx, esi, edi, the callee-saved registers; STATE(host_esp) points to edi.
 *
 * Read before: switcher.S, for what makes a switch safe.  Read next: fast_paths.h, descriptor_stores.h, reflect.h,
 * host_kernel/machine/tables.c.
 * Next in the book: reflect.h.
 */
#include "offsets.h"
#include "switcher/layouts/frame.h"

#define VECTOR_BIAS      0
#define ENTRY_BIAS       128 /* so that push of any vector is a two-byte instruction */

	.section .switcher_lean, "ax"

/*
 * u32 switch_to_guest_lean(void);
 *
 * As switch_to_guest (switcher.S).  After the pops of gs, fs, ds and es these registers hold the Guest's selectors, so
 * nothing after them may use them.
 */
	.globl switch_to_guest_lean
switch_to_guest_lean:
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
	 * has prepared.
	 */
	movl $FRAME, %esp			/* before CR3: an NMI after the load needs a stack that is mapped */
	/*
	 * The switch itself: from the next instruction on the shadow page tables hold, where the Host kernel does not
	 * exist.  The CPU goes on because this page is mapped at the same address in both.
	 */
	movl STATE(guest_cr3), %eax
	movl %eax, %cr3
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
	.globl switcher_lean_iret
switcher_lean_iret:
	/*
	 * Back to ring 1 or 3: it loads eip, cs, eflags, esp and ss at once.  An iret is the only way to lower privilege
	 * and to set the stack and the interrupt flag in one instruction.
	 */
	iret

	.globl lean_return
lean_return:
	RETURN_BY_SECOND_FRAME

/*
 * Back to the Host's page tables and stack.  fs and gs keep the Guest's selectors: the Host kernel does not use them, and
 * they are loaded again before the Guest runs.
 */
.macro SWITCH_TO_HOST
	PUSH_REGISTERS
	/*
	 * The Guest's descriptors are no place for the Host kernel's data: ds and es get the flat segment of ring 0.  C
	 * code uses no others.
	 */
	movl $HOST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	/* Where the registers were saved is the result of the C routine.  In the right case it is FRAME. */
	movl %esp, %eax
	/*
	 * Back to the Host's page tables, in which all of the machine's memory is mapped.  Only now the Host kernel's code
	 * and stack exist again.
	 */
	movl STATE(host_cr3), %edx
	movl %edx, %cr3
	/* The stack that switch_to_guest_lean left, with four registers and the return address on it. */
	movl STATE(host_esp), %esp
	/* C code expects the direction flag to be clear, and the Guest may have set it. */
	cld
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

/*
 * A fault.  One in ring 0 on the Switcher's stack is the Switcher's own; any other one in ring 0 is on the Host kernel's, which
 * it ends (host_kernel/machine/entries.S): a switch to the Host would put that stack back, over the frame.
 */
#define RING_0_TRAP_BYTES 20 /* vector, error code, eip, cs, eflags: ring 0 to ring 0 pushes no esp and ss */
#define AT_EIP    8 /* above vector and error code */
#define AT_CS     12
#define RPL 3
fault:
	/*
	 * The gate is the same for both worlds, since there is one IDT.  The ring in the pushed cs tells which of them had
	 * the trap.
	 */
	testb $RPL, AT_CS(%esp)
	jz in_ring_0
return_to_host:
	SWITCH_TO_HOST
	RETURN_FROM_SWITCH
in_ring_0:					/* or in virtual-8086 mode: then eip has 16 bits, and is none of these */
	/* On the Host's own stack: an error in the Host kernel, which ends it with a report. */
	cmpl $SWITCHER_BASE, %esp
	jb exception_common
#ifndef PAE
	/*
	 * The Switcher's own fault on the way of reflect.h is expected: the Guest's tables or stack were not mapped.  The
	 * address of the instruction tells.
	 */
	cmpl $reflect_may_fault, AT_EIP(%esp)
	jb return_to_host
	cmpl $reflect_is_safe, AT_EIP(%esp)
	jb 1f
#endif
	/* The same for the way of native_reflect.h.  A fault of the Switcher's at any other place is an error. */
	cmpl $native_reflect_may_fault, AT_EIP(%esp)
	jb return_to_host
	cmpl $native_reflect_is_safe, AT_EIP(%esp)
	jae return_to_host
	/*
	 * Drop the frame of the Switcher's own fault: the fault of the Guest lies above it, and the Host kernel handles
	 * that one.
	 */
1:	addl $RING_0_TRAP_BYTES, %esp		/* back to the stack of page_fault */
	jmp reflect_gives_up

/* An interrupt of the machine (timer, doorbell) while the Guest ran: the Host kernel handles it. */
deliver_to_host:
	SWITCH_TO_HOST
	/*
	 * The Host kernel's handler acknowledges the interrupt.  It runs on the Host's stack; eax is kept, for it is the
	 * result of the switch.
	 */
	pushl %eax
	pushl REGISTERS_trapnum(%eax)		/* of the frame that was pushed, which need not be at FRAME */
	call host_interrupt			/* void host_interrupt(u32 vector) */
	addl $4, %esp
	popl %eax
	RETURN_FROM_SWITCH

#ifndef PAE
/*
 * A hypercall, from ring 1 only.  FLUSH_ASYNC with an empty ring and no pending interrupt is a fast path: there is nothing
 * to do.  Reads go through cs and ss, because the other segment registers are the Guest's.
 */
hypercall:
	/*
	 * Is there anything to do?  FLUSH_ASYNC asks for the ring to be emptied, which is the one call that may be empty
	 * itself.
	 */
	testl %eax, %eax			/* FLUSH_ASYNC */
	jnz 1f
	/* A pending interrupt needs the Host kernel: only it can inject one. */
	cmpl %eax, %cs:STATE(interrupt_pending)
	jne 1f
	/* The status byte of the ring's next entry: free means that no call waits. */
	movl %cs:STATE(ring_status), %eax
	cmpb $HCALL_FREE, %cs:(%eax)
	movl $LHCALL_FLUSH_ASYNC, %eax		/* restores eax and keeps the flags of cmpb */
	jne 1f
	/*
	 * Nothing to do: count it and go back.  There was no world switch.  The count is on the page that the Guest can
	 * write, so it is a statistic only.
	 */
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	iret
	/* A real call: make the frame complete, as for a trap without an error code, and let the vector say what it was. */
1:	pushl $0
	pushl $HYPERCALL_VECTOR
	jmp return_to_host
#endif

#include "switcher/fast_paths.h"
#include "switcher/descriptor_stores.h"
#include "switcher/debug_exception.h"
#include "switcher/reflect.h"
#include "switcher/native_reflect.h"

/* The 256 entry points, as in switcher.S.  extern const u32 lean_entries[256] */
.macro ENTRY_FOR vector
	.pushsection .rodata.lean_entries, "a"
	.if \vector == VECTOR_NOT_PRESENT
	.long segment_not_present
	.elseif \vector == VECTOR_GENERAL_PROTECTION
	.long general_protection
	.elseif \vector == VECTOR_PAGE_FAULT
	.long page_fault
	.else
	.long 1f
	.endif
	.popsection
1:
	.if \vector == VECTOR_NMI
	/* An NMI: ignored.  Neither world uses them, and nothing was changed yet. */
	iret					/* an NMI: ignored */
	.elseif \vector == VECTOR_DEBUG
	/* Breakpoints of the Guest's may go off in ring 0: that is decided at one place. */
	jmp debug_exception
	.elseif \vector == VECTOR_NOT_PRESENT || \vector == VECTOR_GENERAL_PROTECTION || \vector == VECTOR_PAGE_FAULT
	/* no jump to them: they are the most frequent */
#ifndef PAE
	.elseif \vector == HYPERCALL_VECTOR
	/* The most frequent way into the Host: it has a place of its own, which looks for a fast path first. */
	jmp hypercall
#endif
	.elseif \vector < EXCEPTIONS
	EVEN_ERROR_CODE \vector
	/* The number of the exception: the Host kernel reads it as the exit reason. */
	pushl $\vector
	jmp fault
	.elseif \vector == VECTOR_TIMER
	MACHINE_INTERRUPT \vector, timer_entry
	.elseif \vector == VECTOR_DOORBELL
	MACHINE_INTERRUPT \vector, doorbell_entry
	.elseif \vector == VECTOR_SPURIOUS
	/* A spurious interrupt has no end-of-interrupt: nothing is to be done. */
	iret					/* a spurious interrupt has no end-of-interrupt */
	.else
	/* The number of the vector, in the place of the error code for now. */
	pushl $(\vector - ENTRY_BIAS)		/* a short instruction for any vector: the page is full */
	jmp without_error_code
	.endif
.endm

/* The rest of an entry of a vector that has no error code. */
without_error_code:
	/* Make the frame like all others: the vector below, and 0 for the error code that the CPU did not push. */
	pushl (%esp)
	addl $ENTRY_BIAS, (%esp)
	movl $0, 4(%esp)
	jmp return_to_host

/* While the Host kernel waits for an interrupt (ring 0), its own handlers in entries.S take it. */
.macro MACHINE_INTERRUPT vector, handler
	/*
	 * Did it hit the Host kernel, which waits in ring 0?  Then the Host's own handler takes it, without a switch.  In
	 * virtual-8086 mode cs holds no ring.
	 */
	testb $RPL, 4(%esp)
	jnz 2f
	testl $FLAG_VM, 8(%esp)
	jz \handler
	/* It hit the Guest: a frame as for a trap, and the Host kernel's handler is called after the switch. */
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
	.rept IDT_ENTRIES
	ENTRY_FOR %vector
	.set vector, vector + 1
	.endr
	.noaltmacro
