/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fast paths of both Switchers for an unmodified kernel: cli, sti, reads of CR2 and CR3, and iret.  They do not change the page
 * tables, so they are not world switches.  In every unusual case a fast path leaves the trap to the Host kernel (label fault).
 * The file that includes this one defines VECTOR_BIAS, fault and return_to_host.
 * Read before: switcher.S, lean.S.  Read next: host_kernel/native/emulate.c, which does the same in the Host kernel.
 * Next in the book: descriptor_stores.h.
 */

/*
 * A general protection fault: cli or sti of a kernel whose interrupt flag is the real one (kernel_cs).  They are the most
 * frequent traps of such a kernel and need nothing from the Host kernel.
 * Reads use cs, which is the Host's flat segment.  The byte at eip was just executed, so it is mapped.
 * An interrupt between sti and hlt is the Host kernel's care (host_kernel/native/personality.c).
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
#define SAVED_EIP    8
#define SAVED_CS     12
#define SAVED_EFLAGS 16
#define SAVED_ESP    20
#define SAVED_SS     24
#define FLAG_IF 0x200
#define CLI 0xFA
#define STI 0xFB
#define TWO_BYTES 0x0F /* the first of an opcode of two: only then the next byte was executed too, and is mapped */
#define MOV_FROM_CR 0x20
#define IRET 0xCF

/* Back to behind an instruction of the kernel, of one byte. */
.macro NEXT_INSTRUCTION
	/* Behind the instruction that was answered: it is one byte long. */
	incl SAVED_EIP(%esp)
	/*
	 * The kernel's descriptor table: a system call arrives from a program with the other one, in which the programs'
	 * code is present.
	 */
	lgdt %cs:LOADABLE(kernel_gdt)		/* a system call arrives with user_gdt, and the kernel's iret must fault */
	/* Count it, and back to the Guest as after any exception: its eax, and without the error code. */
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %eax
	addl $4, %esp
	iret
.endm

general_protection:
	/* One register to work with.  Is it the kernel whose interrupt flag is the real one? */
	pushl %eax
	movl SAVED_CS(%esp), %eax
	cmpl %cs:STATE(kernel_cs), %eax
	jne popf_kernel
	/*
	 * A single-stepped instruction must raise a debug exception behind it: the Host kernel does that.  With VM set cs
	 * is no selector.
	 */
	testl $(FLAG_TF | FLAG_VM), SAVED_EFLAGS(%esp) /* a single-stepped one goes to the Host kernel */
	jnz 2f
	/* Which instruction was it?  Its first byte was just executed, so the page is mapped. */
	movl SAVED_EIP(%esp), %eax
	cmpb $CLI, %cs:(%eax)
	jne set_interrupt_flag
clear_interrupt_flag:
	/*
	 * cli: the flag is cleared where the iret will load it from.  The real flag is the Guest's, since one Guest owns
	 * the machine.
	 */
	andl $~FLAG_IF, SAVED_EFLAGS(%esp)
	NEXT_INSTRUCTION
set_interrupt_flag:
	/* sti? */
	cmpb $STI, %cs:(%eax)
	jne 1f
	/* A pending interrupt must come right behind the sti: only the Host kernel can inject it. */
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 2f
	/* The flag is set where the iret will load it from. */
	orl $FLAG_IF, SAVED_EFLAGS(%esp)
next_instruction:
	NEXT_INSTRUCTION
	/* An opcode of two bytes: only then the second one was executed too, and can be read. */
1:	cmpb $TWO_BYTES, %cs:(%eax)
	jne 1f
	cmpb $MOV_FROM_CR, %cs:1(%eax)
	jne 2f
	jmp read_control
	/* The kernel's iret faults here because its frame has the real kernel's ring 0 in cs. */
1:	cmpb $IRET, %cs:(%eax)
	je iret_to_kernel
	/* Some other privileged instruction, or an error of the Guest's: the Host kernel looks. */
2:	popl %eax
	pushl $(VECTOR_GENERAL_PROTECTION - VECTOR_BIAS)
	jmp return_to_host			/* not "fault", for this is not ring 0 */

/*
 * The same, for a mov of CR2 or CR3 to a register but esp.  The registers are pushed all, so that one can be changed.  The
 * ModRM byte is read once, because a device can write there; it is kept above them.
 */
#define MOV_CR2_EAX 0xD0 /* a ModRM byte; the low three bits are the register, and the next one is set for CR3 */
#define ESP_NUMBER 4
#define PUSHED_EAX 28 /* after pushal, which pushes register 0 first; descriptor_stores.h uses it too */
#define PUSHED_BYTES 32
#define PUSHED_EIP 36
#define PUSHED_CS 40
read_control:
	/*
	 * Which register is read, and into which?  CR2 and CR3 only, and not into esp, which pushal does not keep in its
	 * place.
	 */
	movzbl %cs:2(%eax), %eax
	xorl $MOV_CR2_EAX, %eax
	cmpl $15, %eax
	ja 2b
	testb $3, %al
	jnz 1f
	testb $ESP_NUMBER, %al
	jnz 2b
	/* The instruction's byte stays above the saved registers, and all of them are saved, so that one can be changed. */
1:	xchgl %eax, (%esp)
	pushal
	/* The value that the Guest believes to be in CR2 or CR3: the real ones are the Host kernel's. */
	movl PUSHED_BYTES(%esp), %eax
	movl %eax, %edx
	shrl $3, %edx
	movl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_guest_cr2(, %edx, 4), %edx
	/* Put it where popal will load that register from.  The numbers of the registers run against the stack. */
	andl $7, %eax
	negl %eax
	movl %edx, PUSHED_EAX(%esp, %eax, 4)
	/* Behind the instruction, which is three bytes long. */
	addl $3, PUSHED_EIP + 4(%esp)
	/*
	 * As after any fast path: the kernel's descriptor table, the count, all registers, and without the byte and the
	 * error code.
	 */
	lgdt %cs:LOADABLE(kernel_gdt)
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popal
	addl $8, %esp
	iret

/*
 * The same fault of the kernel's iret to itself, whose frame has RPL 0 (FAST_IRET_KERNEL).
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
	/* Is this allowed now?  The Host kernel decides it at each entry. */
	testb $FAST_IRET_KERNEL, %cs:STATE(fast_path)
	jz 2b
	/* Is the stack the kernel's flat one?  Only then esp is the address of its frame. */
	movl SAVED_SS(%esp), %eax
	cmpl %cs:STATE(kernel_ss), %eax
	jne 2b
	/* All three words of the frame must lie in one page: the CPU has read the first of them, so it is mapped. */
	movl SAVED_ESP(%esp), %eax
	andl $0xFFF, %eax
	cmpl $0x1000 - IRET_KERNEL_BYTES, %eax	/* all in a page that the CPU has read from */
	ja 2b
	/*
	 * A return to the code segment in which the kernel runs.  Its frame says ring 0, in which it believes to be; the
	 * real ring is 1.
	 */
	movl SAVED_ESP(%esp), %eax
	movl %cs:IRET_CS(%eax), %eax
	incl %eax				/* RPL 1, the real ring */
	cmpl SAVED_CS(%esp), %eax
	jne 2b
	/* Flags that an ordinary return does not have are left to the Host kernel. */
	movl SAVED_ESP(%esp), %eax
	movl %cs:IRET_EFLAGS(%eax), %eax
	testl $UNUSUAL_FLAGS, %eax
	jnz 2b
	/* A return that unmasks interrupts while one is pending is the Host kernel's, which injects it. */
	testl $FLAG_IF, %eax
	jz 4f
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 2b
	/* The flags of the frame are loaded by the Switcher's own iret.  Bit 1 is always set. */
4:	orl $FLAG_FIXED, %eax
	movl %eax, SAVED_EFLAGS(%esp)
	/* The frame's three words are popped from the Guest's stack, and eip is where the kernel returns to. */
	movl SAVED_ESP(%esp), %eax
	addl $IRET_KERNEL_BYTES, SAVED_ESP(%esp)
	movl %cs:IRET_EIP(%eax), %eax
	movl %eax, SAVED_EIP(%esp)
	/* As after any fast path: the kernel's descriptor table, the count, eax, and without the error code. */
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
	/* Is the kernel one whose popf was replaced? */
	testb $FAST_POPF, %cs:STATE(fast_path)
	jz 3f
	/* A single-stepped instruction is left to the Host kernel. */
	testl $(FLAG_TF | FLAG_VM), SAVED_EFLAGS(%esp)
	jnz 3f
	/* Only the kernel, in its flat code segment. */
	movl SAVED_CS(%esp), %eax
	cmpl %cs:STATE(flat_cs), %eax		/* not a program, nor ring 0 */
	jne 3f
	/* What stands there: the replacement of a popf, a cli that is not known yet, or the replacement of one that is. */
	movl SAVED_EIP(%esp), %eax
	cmpb $INSTEAD_OF_POPF, %cs:(%eax)
	je popf
	cmpb $CLI, %cs:(%eax)
	je 3f
	cmpb $INSTEAD_OF_CLI, %cs:(%eax)
	jne set_interrupt_flag
	/*
	 * A cli with interrupts off already changes nothing.  Else its address is remembered, for the Host kernel's search
	 * for the popf that belongs to it.
	 */
	testl $FLAG_IF, SAVED_EFLAGS(%esp)
	jz next_instruction
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_last_cli
	jmp clear_interrupt_flag
popf:
	/* The flags to be popped are on the kernel's flat stack, in a word that the CPU has just read. */
	testb $FAST_IRET_KERNEL, %cs:STATE(fast_path) /* the stack is flat */
	jz 3f
	movl SAVED_SS(%esp), %eax
	cmpl %cs:STATE(kernel_ss), %eax
	jne 3f
	movl SAVED_ESP(%esp), %eax
	testb $3, %al				/* in one page */
	jnz 3f
	/* Unusual flags are left to the Host kernel, and so is unmasking a pending interrupt. */
	movl %cs:(%eax), %eax
	testl $(UNUSUAL_FLAGS | FLAG_RF), %eax
	jnz 3f
	testl $FLAG_IF, %eax
	jz 4f
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 3f
	/* The flags are loaded by the Switcher's iret; the word is popped, and on behind the instruction. */
4:	orl $FLAG_FIXED, %eax
	movl %eax, SAVED_EFLAGS(%esp)
	addl $4, SAVED_ESP(%esp)
	jmp next_instruction
	/* None of these: the Host kernel looks. */
3:	popl %eax
	pushl $(VECTOR_GENERAL_PROTECTION - VECTOR_BIAS)
	jmp fault

/*
 * Segment not present: the kernel's iret to a program, whose code segment is hidden while the kernel runs (iret_ss).
 * Only an ordinary iret is done here: known selectors, no special flags, and from where the next trap of a program pushes.
 * The Host kernel allows it without a pending interrupt, and while that place is in one page, from which the CPU has just
 * read the first three words of the Guest's frame.  It is copied before it is checked, because a device can write there.
 *
 * The Switcher's stack in the end:                     The Guest's frame, at the esp that the CPU pushed:
 *
 *     esp + 44   ss       of the kernel's iret             + 16   ss       of the program
 *     esp + 40   esp ------------------------------+       + 12   esp
 *     esp + 36   eflags                            |       +  8   eflags
 *     esp + 32   cs                                |       +  4   cs
 *     esp + 28   eip                               +---->  +  0   eip
 *     esp + 24   error code
 *     esp + 20   eax      saved here
 *     esp + 16   ss       of the program, copied; then esp, eflags, cs
 *     esp        eip
 *
 * The Switcher's own iret takes the copy, and the next trap starts at the top of the stack again.
 */
#define IRET_ESP     12
#define IRET_SS      16
#define IRET_BYTES   20
segment_not_present:
	/* One register to work with.  Is this fast path allowed, for this stack?  The word is 0 when it is not. */
	pushl %eax
	movl SAVED_SS(%esp), %eax
	cmpl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_iret_ss, %eax
	jne 2f
	/* A single-stepped iret is left to the Host kernel, and in virtual-8086 mode there is no selector. */
	testl $(FLAG_TF | FLAG_VM), SAVED_EFLAGS(%esp)
	jnz 2f
	/* Was it the kernel, in its flat code segment? */
	movl SAVED_CS(%esp), %eax
	cmpl %cs:STATE(flat_cs), %eax
	jne 2f
	/* And was the instruction an iret? */
	movl SAVED_EIP(%esp), %eax
	cmpb $IRET, %cs:(%eax)
	jne 2f
	/*
	 * The frame must end where the next trap of a program begins to push: then it lies in a page that is known to be
	 * mapped.
	 */
	movl %cs:STATE(esp0_address), %eax
	movl %cs:(%eax), %eax
	cmpl %cs:STATE(guest_tss) + TSS_esp1, %eax
	jne 2f
	subl $IRET_BYTES, %eax
	cmpl %eax, SAVED_ESP(%esp)
	jne 2f
	/* The frame is copied before it is checked: a device could change it in between. */
	pushl %cs:IRET_SS(%eax)
	pushl %cs:IRET_ESP(%eax)
	pushl %cs:IRET_EFLAGS(%eax)
	pushl %cs:IRET_CS(%eax)
	pushl %cs:IRET_EIP(%eax)
	/* The code segment of an ordinary program, */
	movl IRET_CS(%esp), %eax
	cmpl %cs:STATE(user_cs), %eax
	jne 1f
	/* its stack segment, */
	movl IRET_SS(%esp), %eax
	cmpl %cs:STATE(user_ss), %eax
	jne 1f
	/* and no special flags: anything else is checked by the Host kernel. */
	testl $UNUSUAL_FLAGS, IRET_EFLAGS(%esp)
	jnz 1f
	/*
	 * The descriptor table in which the programs' code is present: the kernel's own iret found it absent, and that is
	 * why it trapped.
	 */
	lgdt %cs:LOADABLE(user_gdt)
	/* Count it, restore eax, and to the program with the copied frame.  The kernel's iret was done in its place. */
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	movl IRET_BYTES(%esp), %eax
	iret
	/* Not ordinary: drop the copy, */
1:	addl $IRET_BYTES, %esp
	/* and the Host kernel does it. */
2:	popl %eax
	pushl $(VECTOR_NOT_PRESENT - VECTOR_BIAS)
	jmp fault
