/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel whose frame pointers are a trap for who follows them, while it is sampled: a chain that is longer than a
 * sample, one that leads to itself, some that lead where there is nothing or nothing of the Guest's.  It counts for a while with
 * each, and powers off.  Run by tests/trace/test_trace_hostile.py.
 */
#define CODE 0x10
#define DATA 0x18
#define FRAMES 300
#define RETURN_ADDRESS 0x00C0FFEE

#include "tests/lab/small_kernel.h"

	.macro	LOOK_AT	address
	movl	$\address, %ebp
	movl	$ROUNDS, %ecx
3:	loop	3b
	.endm

	.text
	.globl	start
start:
	cld
	LOAD_SEGMENTS
	OUT	0x21, 0xFF
	OUT	0xA1, 0xFF
	movl	$chain, %edi		/* above the stack, each frame leads to the next */
	movl	$FRAMES, %ecx
4:	leal	8(%edi), %eax
	stosl
	movl	$RETURN_ADDRESS, %eax
	stosl
	loop	4b
	movl	$self, self
	movl	$RETURN_ADDRESS, self + 4
	sti
	LOOK_AT	chain
	LOOK_AT	self
	LOOK_AT	1
	LOOK_AT	0xFFFFFFFC
	LOOK_AT	0xFFC02000
	LOOK_AT	0x7FFFFFFC
	movl	$0xFFFFFFF0, %esp	/* a frame that may be anywhere above it */
	LOOK_AT	0xFFFFFFF8
	movl	$0, %esp
	LOOK_AT	0
	POWER_OFF

	.data
	FLAT_TABLES
	.bss
	.balign	16
	.space	1024
stack_end:
	.space	64
self:	.space	8
chain:	.space	8 * FRAMES + 8
