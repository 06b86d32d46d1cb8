/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both Switchers answer by themselves for an unmodified kernel: its cli, sti and iret.  No page tables are
 * changed for these, so they are not world switches.  Where one is not sure, it goes to fault.
 * Used by switcher.S and lean.S, which say what VECTOR_BIAS and fault are.
 */

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
#define FLAG_IF 0x200
#define CLI 0xFA
#define STI 0xFB
#define HLT 0xF4
general_protection:
	testb $FAST_FLAGS, %cs:STATE(fast_path)
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
	cmpl $0, %cs:STATE(interrupt_pending)
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
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %eax
	addl $4, %esp
	iret
2:	popl %eax
3:	pushl $(13 - VECTOR_BIAS)
	jmp fault

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
	testb $FAST_IRET, %cs:STATE(fast_path)
	jz 3f
	cmpl $0, %cs:STATE(interrupt_pending)
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
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %edx
	popl %eax
	addl $4, %esp
	iret
2:	popl %edx
	popl %eax
3:	pushl $(11 - VECTOR_BIAS)
	jmp fault
