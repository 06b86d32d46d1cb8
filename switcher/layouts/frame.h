/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the assembler: how every way into ring 0 makes the same frame, struct registers (lguest_pages.h).
 * Used by switcher.S for the Guest's traps and by host_kernel/core/start.S for the Host kernel's own.
 */

/* A word in place of the error code, where the CPU pushes none.  Source: Intel SDM vol. 3, table 6-1. */
.macro EVEN_ERROR_CODE vector
	.if !(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21 || \vector == 29 || \vector == 30)
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

#define FLAG_VM 0x20000 /* QEMU lets ring 1 set it by iret; then the saved cs is no selector */
