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
	pushl $0
	.endif
.endm

/* The frame's lower part, from es down to eax. */
.macro PUSH_REGISTERS
	pushl %es
	pushl %ds
	pushl %fs
	pushl %gs
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
	pushl %eax
	movl %cs:STATE(return_dr7), %eax
	movl %eax, %dr7
	popl %eax
	lss %cs:STATE(return_esp), %esp
	iret
.endm

/* A debug exception in ring 0: go on without breakpoints (switcher/debug_exception.h). */
#define DR6_NO_CAUSE   0xFFFF0FF0
#define DR7_NO_BREAKPOINT 0x400
.macro IGNORE_DEBUG_EXCEPTION
	pushl %eax
	movl $DR7_NO_BREAKPOINT, %eax
	movl %eax, %dr7
	orl $FLAG_RF, 12(%esp)	/* eflags, above eax, eip and cs */
	movl $DR6_NO_CAUSE, %eax
	movl %eax, %dr6
	popl %eax
	iret
.endm

#define DEBUG_EFLAGS 8 /* above eip and cs, pushed by the CPU */
#define FLAG_TF 0x100
#define FLAG_VM 0x20000 /* QEMU lets ring 1 set it by iret; then the saved cs is not a selector */
