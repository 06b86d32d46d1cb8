/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fast paths of both Switchers for an unmodified kernel: cli, sti, reads of CR2, and iret.  They do not change the page
 * tables, so they are not world switches.  In every unusual case a fast path leaves the trap to the Host kernel (label fault).
 * The file that includes this one defines VECTOR_BIAS and fault.
 * Read before: switcher.S, lean.S.  Read next: host_kernel/native/emulate.c, which does the same in the Host kernel.
 */

/*
 * A general protection fault: cli or sti of a kernel whose interrupt flag is the real one (FAST_FLAGS).  They are the most
 * frequent traps of such a kernel and need nothing from the Host kernel.
 * Reads use cs, which is the Host's flat segment.  The byte at eip was just executed, so it is mapped.
 *
 * The Switcher's stack after the pushl of eax; it grows towards lower addresses:
 *
 *     esp + 24   ss       where the Guest ran, pushed by the CPU
 *     esp + 20   esp
 *     esp + 16   eflags
 *     esp + 12   cs
 *     esp +  8   eip
 *     esp +  4   error code
 *     esp        eax      saved here
 */
#define SAVED_ERROR  4
#define SAVED_EIP    8
#define SAVED_CS     12
#define SAVED_EFLAGS 16
#define SAVED_ESP    20
#define SAVED_SS     24
#define FLAG_TF 0x100
#define FLAG_IF 0x200
#define CLI 0xFA
#define STI 0xFB
#define HLT 0xF4

/* eax: where the kernel executed the instruction that faulted.  Another fault, or a single-stepped one, goes to otherwise. */
.macro KERNEL_EIP_UNLESS otherwise
	testl $(FLAG_TF | FLAG_VM), SAVED_EFLAGS(%esp)
	jnz \otherwise
	testb $2, SAVED_CS(%esp)		/* ring 3 */
	jnz \otherwise
	movl SAVED_EIP(%esp), %eax
.endm

general_protection:
	testb $FAST_FLAGS, %cs:STATE(fast_path)
	jz popf_kernel
	pushl %eax
	cmpl $0, SAVED_ERROR(%esp)
	jne iret_to_kernel
	KERNEL_EIP_UNLESS 2f
	cmpb $CLI, %cs:(%eax)
	jne set_interrupt_flag
clear_interrupt_flag:
	andl $~FLAG_IF, SAVED_EFLAGS(%esp)
	jmp next_instruction
set_interrupt_flag:
	cmpb $STI, %cs:(%eax)
	jne read_cr2
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 2f
	notl %eax
	testl $0xFFF, %eax			/* the last byte of a page: the next page may not be mapped */
	jz 2f
	notl %eax
	cmpb $HLT, %cs:1(%eax)			/* no interrupt may arrive between sti and hlt */
	je 2f
	orl $FLAG_IF, SAVED_EFLAGS(%esp)
next_instruction:
	incl SAVED_EIP(%esp)
	lgdt %cs:LOADABLE(kernel_gdt)		/* a system call arrives with user_gdt, and the kernel's iret must fault */
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %eax
	addl $4, %esp
	iret
2:	popl %eax
3:	pushl $(VECTOR_GENERAL_PROTECTION - VECTOR_BIAS)
	jmp fault

/* The same, for a mov of CR2 to a register but esp.  The registers are pushed all, so that one can be changed. */
#define TWO_BYTES 0x0F /* the first of an opcode of two: only then the next byte was executed too, and is mapped */
#define MOV_FROM_CR 0x20
#define MOV_CR2_EAX 0xD0 /* a ModRM byte; the low three bits are the register */
#define ESP_NUMBER 4
#define PUSHED_EAX 28 /* after pushal, which pushes register 0 first; descriptor_stores.h uses it too */
#define PUSHED_EIP 36
read_cr2:
	cmpb $TWO_BYTES, %cs:(%eax)
	jne 2b
	cmpb $MOV_FROM_CR, %cs:1(%eax)
	jne 2b
	movzbl %cs:2(%eax), %eax
	xorl $MOV_CR2_EAX, %eax
	cmpl $7, %eax
	ja 2b
	cmpl $ESP_NUMBER, %eax
	je 2b
	popl %eax
	pushal
	movl PUSHED_EIP(%esp), %eax
	movzbl %cs:2(%eax), %eax
	subl $MOV_CR2_EAX, %eax
	negl %eax
	movl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_guest_cr2, %edx
	movl %edx, PUSHED_EAX(%esp, %eax, 4)
	addl $3, PUSHED_EIP(%esp)
	lgdt %cs:LOADABLE(kernel_gdt)
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popal
	addl $4, %esp
	iret

#define IRET 0xCF

/*
 * Jump elsewhere unless the trap is a fault of the kernel's iret, with its stack segment and without special flags.  eax:
 * where in its page the Guest's frame begins.  more: bytes pushed after eax.
 */
.macro UNLESS_IRET_OF_KERNEL elsewhere, more=0
	testl $(FLAG_TF | FLAG_VM), SAVED_EFLAGS + \more(%esp)
	jnz \elsewhere
	testb $2, SAVED_CS + \more(%esp)	/* ring 3 */
	jnz \elsewhere
	movl SAVED_SS + \more(%esp), %eax
	cmpl %cs:STATE(kernel_ss), %eax
	jne \elsewhere
	movl SAVED_EIP + \more(%esp), %eax
	cmpb $IRET, %cs:(%eax)
	jne \elsewhere
	movl SAVED_ESP + \more(%esp), %eax
	andl $0xFFF, %eax
.endm

/*
 * The same fault with a selector as its error code: the kernel's iret to itself, whose frame has RPL 0 (FAST_IRET_KERNEL).
 * Only an ordinary one is done here: it stays in the code segment that it runs in, has no special flags, and does not
 * unmask a pending interrupt.  The stack is that of general_protection; the Guest's frame is the first three words of the
 * one below, which the CPU has just read.
 */
#define IRET_EIP     0 /* in the Guest's frame */
#define IRET_CS      4
#define IRET_EFLAGS  8
#define IRET_KERNEL_BYTES 12
#define FLAG_FIXED 0x2
#define UNUSUAL_FLAGS 0x1A7100 /* VIP, VIF, VM, NT, IOPL, TF */
iret_to_kernel:
	testb $FAST_IRET_KERNEL, %cs:STATE(fast_path)
	jz 2b
	UNLESS_IRET_OF_KERNEL 2b
	cmpl $0x1000 - IRET_KERNEL_BYTES, %eax	/* all in a page that the CPU has read from */
	ja 2b
	movl SAVED_ESP(%esp), %eax
	movl %cs:IRET_CS(%eax), %eax
	testb $3, %al
	jnz 2b
	incl %eax				/* RPL 1, the real ring */
	cmpl SAVED_CS(%esp), %eax
	jne 2b
	movl SAVED_ESP(%esp), %eax
	movl %cs:IRET_EFLAGS(%eax), %eax
	testl $UNUSUAL_FLAGS, %eax
	jnz 2b
	testl $FLAG_IF, %eax
	jz 4f
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 2b
4:	orl $FLAG_FIXED, %eax
	movl %eax, SAVED_EFLAGS(%esp)
	movl SAVED_ESP(%esp), %eax
	addl $IRET_KERNEL_BYTES, SAVED_ESP(%esp)
	movl %cs:IRET_EIP(%eax), %eax
	movl %eax, SAVED_EIP(%esp)
	lgdt %cs:LOADABLE(kernel_gdt)
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %eax
	addl $4, %esp
	iret

/*
 * general_protection for a kernel whose popf sets the flag (FAST_POPF, host_kernel/native/popf.c): a cli that was not seen before is
 * left to the Host kernel, and what stands for popf is answered, unless it unmasks a pending interrupt.  That is a pop of
 * ss: the CPU has just read the word that it pops.
 */
popf_kernel:
	testb $FAST_POPF, %cs:STATE(fast_path)
	jz 3b
	pushl %eax
	KERNEL_EIP_UNLESS 2b
	cmpb $INSTEAD_OF_POPF, %cs:(%eax)
	je popf
	cmpl $0, SAVED_ERROR(%esp)
	jne iret_to_kernel
	cmpb $CLI, %cs:(%eax)
	je 2b
	cmpb $INSTEAD_OF_CLI, %cs:(%eax)
	jne set_interrupt_flag
	testl $FLAG_IF, SAVED_EFLAGS(%esp)
	jz next_instruction
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_last_cli
	jmp clear_interrupt_flag
popf:
	testb $FAST_IRET_KERNEL, %cs:STATE(fast_path) /* the stack is flat */
	jz 2b
	movl SAVED_SS(%esp), %eax
	cmpl %cs:STATE(kernel_ss), %eax
	jne 2b
	movl SAVED_ESP(%esp), %eax
	testb $3, %al				/* in one page */
	jnz 2b
	movl %cs:(%eax), %eax
	testl $(UNUSUAL_FLAGS | FLAG_RF), %eax
	jnz 2b
	testl $FLAG_IF, %eax
	jz 4f
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 2b
4:	orl $FLAG_FIXED, %eax
	movl %eax, SAVED_EFLAGS(%esp)
	addl $4, SAVED_ESP(%esp)
	jmp next_instruction

/*
 * Segment not present: the kernel's iret to a program, whose code segment is hidden while the kernel runs (FAST_IRET).
 * Only an ordinary iret is done here: known selectors, no special flags, no pending interrupt, and an unchanged stack for
 * the next system call.  The CPU has just read the first three words of the Guest's frame, so they are mapped.
 *
 * The Switcher's stack after both pushes:              The Guest's frame, at the esp that the CPU pushed:
 *
 *     esp + 28   ss       of the kernel's iret             + 16   ss       of the program
 *     esp + 24   esp ------------------------------+       + 12   esp
 *     esp + 20   eflags                            |       +  8   eflags
 *     esp + 16   cs                                |       +  4   cs
 *     esp + 12   eip                               +---->  +  0   eip
 *     esp +  8   error code
 *     esp +  4   eax      saved here
 *     esp        edx
 *
 * The program's five words replace those of the kernel, so that the Switcher's own iret goes to the program.
 */
#define FRAME_ERROR  8
#define FRAME_EIP    12
#define FRAME_CS     16
#define FRAME_EFLAGS 20
#define FRAME_ESP    24
#define FRAME_SS     28
#define IRET_ESP     12
#define IRET_SS      16
#define IRET_BYTES   20
segment_not_present:
	testb $FAST_IRET, %cs:STATE(fast_path)
	jz 3f
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 3f
	cmpl $0, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_stale
	jne 3f
	pushl %eax
	pushl %edx
	UNLESS_IRET_OF_KERNEL 2f, 4
	cmpl $0x1000 - IRET_BYTES, %eax		/* esp and ss, which the CPU did not read, must be in the same page */
	ja 2f
	movl FRAME_ESP(%esp), %eax
	movl %cs:IRET_CS(%eax), %edx
	cmpl %cs:STATE(user_cs), %edx
	jne 2f
	movl %cs:IRET_SS(%eax), %edx
	cmpl %cs:STATE(user_ss), %edx
	jne 2f
	testl $UNUSUAL_FLAGS, %cs:IRET_EFLAGS(%eax)
	jnz 2f
	movl %cs:STATE(esp0_address), %edx
	movl %cs:(%edx), %edx
	cmpl %cs:STATE(guest_tss) + TSS_esp1, %edx
	jne 2f
	movl %cs:IRET_EIP(%eax), %edx
	movl %edx, FRAME_EIP(%esp)
	movl %cs:IRET_CS(%eax), %edx
	movl %edx, FRAME_CS(%esp)
	movl %cs:IRET_EFLAGS(%eax), %edx
	orl $FLAG_FIXED, %edx
	movl %edx, FRAME_EFLAGS(%esp)
	movl %cs:IRET_ESP(%eax), %edx
	movl %edx, FRAME_ESP(%esp)
	movl %cs:IRET_SS(%eax), %edx
	movl %edx, FRAME_SS(%esp)
	lgdt %cs:LOADABLE(user_gdt)
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %edx
	popl %eax
	addl $4, %esp
	iret
2:	popl %edx
	popl %eax
3:	pushl $(VECTOR_NOT_PRESENT - VECTOR_BIAS)
	jmp fault
