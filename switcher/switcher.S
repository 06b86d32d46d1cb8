/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Switcher: the one page of code that stands at the same address in the Host's page tables and in the
 * Guest's, so that it can go from one to the other.  It runs in ring 0 with interrupts off.
 *
 * This is the classic world switch, in the original's five steps: stack, GDT, IDT, TSS, page tables.
 *
 * Three things make it safe:
 * - Selectors HOST_CS and HOST_DS mean the same in both GDTs, so an NMI between two loads finds its segments.
 * - In the Guest's page tables ring 1 can read all of this page and of the state page, and can write the stack
 *   page: so nothing but the frame that was just pushed is believed, and no secret is kept here.
 * - A fault of our own while the Guest's registers are popped arrives on the half-emptied frame.  The Host
 *   kernel sees that the frame is not where a Guest's frame must be, and ends the Guest.
 *
 * Read before: switcher/lguest_pages.h.  Read next: host_kernel/run.c, which calls switch_to_guest.
 */
#include "offsets.h"
#include "frame.h"

#define STATE(field)     (SWITCHER_STATE_PAGE + LGUEST_STATE_##field)
#define BASE_OF(field)   (STATE(field) + TABLE_REGISTER_base)
#define LOADABLE(field)  (STATE(field) + TABLE_REGISTER_limit)
#define FRAME            (SWITCHER_STACK_PAGE + 4096 - REGISTERS_SIZE)
#define TSS_TYPE_BYTE    (GDT_TSS * 8 + 5)
#define NOT_BUSY         0xFD /* ltr refuses a TSS that is marked busy, and marks the one it loads */
#define VECTOR_BIAS      128  /* so that push of any vector is a two-byte instruction */

	.section .switcher, "ax"

/*
 * u32 switch_to_guest(void);
 *
 * Runs the Guest with the registers in the frame at the end of the stack page until it comes back, for
 * whatever reason.  Returns the address of the frame that was pushed then; where that is not the frame's
 * proper place, the Switcher itself faulted.
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
	ltr %ax					/* 4: the TSS; the last write to the state page */
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

/* The way back, up to the Host's stack, tables and segments; eax is the frame's address.  Clobbers edx. */
.macro SWITCH_TO_HOST
	addl $VECTOR_BIAS, (%esp)
	PUSH_REGISTERS
	movl $HOST_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs				/* a Guest descriptor must not stay in use while its GDT may change */
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

/* A trap or a hypercall: the Host kernel finds the vector in the frame. */
return_to_host:
	cld
	SWITCH_TO_HOST
	RETURN_FROM_SWITCH

/* One of the machine's interrupts: its handler in the Host's own IDT runs as if the interrupt had hit the Host. */
deliver_to_host:
	cld
	SWITCH_TO_HOST
	movl REGISTERS_trapnum(%eax), %ecx	/* of the frame that was pushed, wherever it is */
	movl BASE_OF(host_idt), %edx
	movl 4(%edx, %ecx, 8), %ebx		/* a gate's upper word holds the offset's upper half */
	movw (%edx, %ecx, 8), %bx
	movl %eax, %esi				/* kept by the handler */
	pushfl
	pushl %cs
	call *%ebx
	movl %esi, %eax
	RETURN_FROM_SWITCH

/*
 * A general protection fault.  Where the Guest's interrupt flag is the real one (struct lguest_state, answer), its cli
 * and sti come here more often than all else, and need nothing of the Host's: done here, they cost no world switch.
 * Reads go through cs, which is ours and covers everything; the byte at eip was just executed, so it is mapped.
 */
#define SAVED_ERROR  4 /* above the saved eax */
#define SAVED_EIP    8
#define SAVED_CS     12
#define SAVED_EFLAGS 16
#define FLAG_TF 0x100
#define FLAG_VM 0x20000 /* QEMU lets ring 1 set it by iret; then cs is no selector */
#define FLAG_IF 0x200
#define CLI 0xFA
#define STI 0xFB
#define HLT 0xF4
general_protection:
	testb $ANSWER_FLAGS, %cs:STATE(answer)
	jz 3f
	pushl %eax
	cmpl $0, SAVED_ERROR(%esp)
	jne 2f
	testl $(FLAG_TF | FLAG_VM), SAVED_EFLAGS(%esp)
	jnz 2f
	testb $2, SAVED_CS(%esp)		/* ring 3 */
	jnz 2f
	movl SAVED_EIP(%esp), %eax
	cmpb $CLI, %cs:(%eax)
	jne 0f
	andl $~FLAG_IF, SAVED_EFLAGS(%esp)
	jmp 1f
0:	cmpb $STI, %cs:(%eax)
	jne 2f
	cmpl $0, %cs:STATE(waiting)
	jne 2f
	notl %eax
	testl $0xFFF, %eax			/* at a page's last byte: the next may not be there */
	jz 2f
	notl %eax
	cmpb $HLT, %cs:1(%eax)			/* no interrupt may come between the two */
	je 2f
	orl $FLAG_IF, SAVED_EFLAGS(%esp)
1:	incl SAVED_EIP(%esp)
	lgdt %cs:LOADABLE(kernel_gdt)		/* a system call comes in with the other one, and iret must fault */
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_answered
	popl %eax
	addl $4, %esp
	iret
2:	popl %eax
3:	pushl $(13 - VECTOR_BIAS)
	jmp return_to_host

/*
 * A segment is not present: where it is the programs' code, the kernel's iret to a program, which must set the real
 * interrupt flag.  An ordinary one (known selectors, no special flags, nothing waiting, the stack for the next system
 * call still the same) is done here: its frame was just read by the CPU, so it is mapped.
 */
#define FRAME_ERROR  8 /* above the saved eax and edx */
#define FRAME_EIP    12
#define FRAME_CS     16
#define FRAME_EFLAGS 20
#define FRAME_ESP    24
#define FRAME_SS     28
#define IRET 0xCF
#define FLAG_FIXED 0x2
#define UNUSUAL_FLAGS 0x1A7100 /* VIP, VIF, VM, NT, IOPL, TF */
segment_not_present:
	testb $ANSWER_IRET, %cs:STATE(answer)
	jz 3f
	cmpl $0, %cs:STATE(waiting)
	jne 3f
	pushl %eax
	pushl %edx
	testl $FLAG_VM, FRAME_EFLAGS(%esp)
	jnz 2f
	testb $2, FRAME_CS(%esp)		/* ring 3 */
	jnz 2f
	movl FRAME_SS(%esp), %eax
	cmpl %cs:STATE(kernel_ss), %eax
	jne 2f
	movl FRAME_EIP(%esp), %eax
	cmpb $IRET, %cs:(%eax)
	jne 2f
	movl FRAME_ESP(%esp), %eax		/* eip, cs, eflags, esp, ss of the program */
	movl %eax, %edx
	andl $0xFFF, %edx
	cmpl $0x1000 - 20, %edx			/* the CPU read only the first three: the rest must be in the same page */
	ja 2f
	movl %cs:4(%eax), %edx
	cmpl %cs:STATE(user_cs), %edx
	jne 2f
	movl %cs:16(%eax), %edx
	cmpl %cs:STATE(user_ss), %edx
	jne 2f
	testl $UNUSUAL_FLAGS, %cs:8(%eax)
	jnz 2f
	movl %cs:STATE(esp0_address), %edx
	movl %cs:(%edx), %edx
	cmpl %cs:STATE(guest_tss) + TSS_esp1, %edx
	jne 2f
	movl %cs:(%eax), %edx
	movl %edx, FRAME_EIP(%esp)
	movl %cs:4(%eax), %edx
	movl %edx, FRAME_CS(%esp)
	movl %cs:8(%eax), %edx
	orl $FLAG_FIXED, %edx
	movl %edx, FRAME_EFLAGS(%esp)
	movl %cs:12(%eax), %edx
	movl %edx, FRAME_ESP(%esp)
	movl %cs:16(%eax), %edx
	movl %edx, FRAME_SS(%esp)
	lgdt %cs:LOADABLE(user_gdt)
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_answered
	popl %edx
	popl %eax
	addl $4, %esp
	iret
2:	popl %edx
	popl %eax
3:	pushl $(11 - VECTOR_BIAS)
	jmp return_to_host

/* An NMI is not the Guest's business, and nothing here waits for one: carry on where it struck. */
nmi_return:
	iret

/*
 * The 256 ways in.  Each makes its frame alike: an error code (0 where the CPU pushes none) and the vector.
 * extern const u32 switcher_entries[256] lists their addresses for the Guest's IDT.
 */
.macro ENTRY_FOR vector
	.pushsection .rodata.switcher_entries, "a"
	.long 1f
	.popsection
1:
	.if \vector == 2
	jmp nmi_return
	.elseif \vector == 11
	jmp segment_not_present
	.elseif \vector == 13
	jmp general_protection
	.else
	EVEN_ERROR_CODE \vector
	pushl $(\vector - VECTOR_BIAS)
	.if \vector == VECTOR_TIMER || \vector == VECTOR_DOORBELL || \vector == VECTOR_SPURIOUS
	jmp deliver_to_host
	.else
	jmp return_to_host
	.endif
	.endif
.endm

	.pushsection .rodata.switcher_entries, "a"
	.balign 4
	.globl switcher_entries
switcher_entries:
	.popsection

	.altmacro
	.set vector, 0
	.rept 256
	ENTRY_FOR %vector
	.set vector, vector + 1
	.endr
	.noaltmacro
