/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debug exception, in both Switchers.  One in ring 0 is a breakpoint of the Guest's at an address that the Host kernel has
 * too, hit on the way out of the Guest, or one on the operand of a mov to ss right before the int that came here.  Breakpoints
 * go off then, as they do at each exit, and with RF the instruction runs.  The bits in DR6 are not for the Guest to see.
 * The Guest's TF is not a cause: the CPU clears TF on each way into ring 0 that the Guest has (sysenter would not, but has no
 * segment to go to).  With TF in the frame it is therefore an internal error.  DR6 does not tell: the bit of a step of the
 * Guest's is still there, when a breakpoint goes off on the way out.
 * The file that includes this one defines VECTOR_BIAS and fault.
 * Read before: switcher.S, lean.S.  Read next: host_kernel/machine/debug_registers.c.
 * Next in the book: host_kernel/machine/second_return.c.
 */
#define DEBUG_CS 4 /* above eip */
debug_exception:
	/* From which ring?  A debug exception of ring 1 or 3 is the Guest's, and goes to the Host kernel. */
	testb $3, DEBUG_CS(%esp)
	jnz 1f
	/* In virtual-8086 mode it was the Guest's all the same.  With TF it is an error of ours, to be reported. */
	testl $(FLAG_VM | FLAG_TF), DEBUG_EFLAGS(%esp)	/* with VM cs is not a selector */
	jnz 1f
	IGNORE_DEBUG_EXCEPTION
	/* A trap like any other: a frame with error code 0 and vector 1. */
1:	pushl $0
	pushl $(VECTOR_DEBUG - VECTOR_BIAS)
	jmp fault
