/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel that makes world switches with a breakpoint set and without, in turn, up to ROUNDS times.
 * Run by tests/trace/test_trace_toggled.py.
 */
#define CODE 0x10
#define DATA 0x18
#define DR7_NONE 0x400
#define DR7_FIRST 0x401

#include "tests/lab/small_kernel.h"

	.text
	.globl	start
start:
	cld
	LOAD_SEGMENTS
	OUT	0x21, 0xFF
	OUT	0xA1, 0xFF
	movl	$never, %eax
	movl	%eax, %dr0
	movl	$ROUNDS, %esi
	sti
3:	movl	$DR7_FIRST, %eax
	movl	%eax, %dr7
	.rept	20
	inb	$0x61, %al		/* a trap to the Host kernel */
	.endr
	movl	$DR7_NONE, %eax
	movl	%eax, %dr7
	.rept	20
	inb	$0x61, %al
	.endr
	decl	%esi
	jnz	3b
	POWER_OFF
never:	hlt

	.data
	FLAT_TABLES
	.bss
	.balign	16
	.space	1024
stack_end:
