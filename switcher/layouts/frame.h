/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the assembler: every entry into ring 0 builds the same frame, struct registers (lguest_pages.h).
 * Used by switcher.S and lean.S for the Guest's traps and by host_kernel/machine/entries.S for the Host kernel's own.
 * Next in the book: host_kernel/machine/world_switch.h.
 */

/* Vectors.  Source: Intel SDM vol. 3, table 6-1. */
#define VECTOR_DEBUG              1
#define VECTOR_NMI                2
#define VECTOR_NOT_PRESENT        11
#define VECTOR_GENERAL_PROTECTION 13
#define VECTOR_PAGE_FAULT         14
#define EXCEPTIONS                32 /* vectors below are exceptions */

/* Push 0 in place of the error code for vectors without one. */
.macro EVEN_ERROR_CODE vector
	.if !((ERROR_CODE_VECTORS >> (\vector)) & 1)
	/* The CPU pushes an error code for some exceptions only: 0 in its place keeps all frames alike. */
	pushl $0
	.endif
.endm

/* The frame's lower part, from es down to eax. */
.macro PUSH_REGISTERS
	/* The Guest's segment selectors, before the Switcher loads its own. */
	pushl %es
	pushl %ds
	pushl %fs
	pushl %gs
	/*
	 * All other registers, so that the Host kernel sees them and the Guest finds them again.  eax comes last, and is
	 * free after that.
	 */
	pushl %ebp
	pushl %edi
	pushl %esi
	pushl %edx
	pushl %ecx
	pushl %ebx
	pushl %eax
.endm

/* Places in both Switchers, by offsets.h. */
#define STATE(field)     (SWITCHER_STATE_PAGE + LGUEST_STATE_##field)
#define LOADABLE(field)  (STATE(field) + TABLE_REGISTER_limit)
#define FRAME            (SWITCHER_STACK_PAGE + 4096 - REGISTERS_SIZE)
#define FLAG_RF          0x10000

/* Where the Switcher's iret goes when there is a second frame (host_kernel/machine/second_return.c). */
.macro RETURN_BY_SECOND_FRAME
	/* eax is the Guest's already: it is needed for a moment, since a debug register is loaded from a register only. */
	pushl %eax
	/* The Guest's breakpoints go on at the last moment: on these pages none of them can be hit. */
	movl %cs:STATE(return_dr7), %eax
	movl %eax, %dr7
	popl %eax
	/*
	 * The second frame's stack.  Its segment may have a base, so that the upper half of esp is already the one that a
	 * program with a 16-bit stack must keep.
	 */
	lss %cs:STATE(return_esp), %esp
	/* To the Guest, as the iret of an ordinary switch. */
	iret
.endm

/* A debug exception in ring 0: go on without breakpoints (switcher/debug_exception.h). */
#define DR6_NO_CAUSE   0xFFFF0FF0
#define DR7_NO_BREAKPOINT 0x400
.macro IGNORE_DEBUG_EXCEPTION
	/* One register is needed, and is put back at the end. */
	pushl %eax
	/* No breakpoint any more: the Host kernel sets the Guest's again when it returns there. */
	movl $DR7_NO_BREAKPOINT, %eax
	movl %eax, %dr7
	/* With RF the interrupted instruction runs once without a breakpoint on its code. */
	orl $FLAG_RF, 12(%esp)	/* eflags, above eax, eip and cs */
	/* The bits of DR6 tell which breakpoint it was: that is not for the Guest to see. */
	movl $DR6_NO_CAUSE, %eax
	movl %eax, %dr6
	/* On with the interrupted instruction, as if nothing had happened. */
	popl %eax
	iret
.endm

#define DEBUG_EFLAGS 8 /* above eip and cs, pushed by the CPU */
#define FLAG_TF 0x100
#define FLAG_VM 0x20000 /* QEMU lets ring 1 set it by iret; then the saved cs is not a selector */
