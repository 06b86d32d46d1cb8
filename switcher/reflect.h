/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page fault of a program that its own kernel must see, because its kernel's tables do not allow the access: the lean
 * Switcher goes to the kernel's handler as the CPU would have done.  No page tables are changed, so it is no world switch.
 *
 * The Guest's tables are read where the Guest itself sees them: all of an lguest Guest's memory is mapped from its kernel
 * address on.  Were it not so, we would only be wrong about whose fault it is; so a second fault at the same address,
 * with nothing said to the Host in between, goes to the Host, which knows.  And reading (or pushing) may fault, since the
 * shadow need not have the page: then it is the Host's too.  Ring 0 here reaches nothing that ring 1 does not.
 *
 * Used by lean.S.  What it does instead of the Host: host_kernel/lguest/traps.c, inject.c.
 */
#define FAULT_ERROR  0
#define FAULT_CS     8
#define FAULT_EFLAGS 12
#define KEPT         16 /* cr2, edx, ecx and eax, pushed here */
#define WORD_ERROR   KEPT
#define WORD_EIP     (KEPT + 4)
#define WORD_CS      (KEPT + 8)
#define WORD_EFLAGS  (KEPT + 12)
#define WORD_ESP     (KEPT + 16)
#define WORD_SS      (KEPT + 20)
#define PRESENT 1
#define WRITABLE 2
#define FOR_USER 4
#define USER_WRITES_PRESENT 7 /* error code */
#define GONE_FLAGS 0x14100 /* RF, NT, TF */
page_fault:
	testb $2, FAULT_CS(%esp)		/* ring 3 */
	jz 9f
	testl $FLAG_VM, FAULT_EFLAGS(%esp)
	jnz 9f
	cmpl $0, %cs:STATE(page_fault_handler)
	je 9f
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 9f
	pushl %eax
	pushl %ecx
	pushl %edx
	movl %cr2, %eax
	pushl %eax
	cmpl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected, %eax
	je reflect_gives_up
	movl %cs:STATE(page_directory), %edx
	movl %eax, %ecx
	shrl $22, %ecx
reflect_may_fault:
	movl %cs:(%edx, %ecx, 4), %edx
	testb $PRESENT, %dl
	jz 1f
	andl $~0xFFF, %edx
	shrl $12, %eax
	addl %cs:STATE(linear_map), %edx
	andl $0x3FF, %eax
	movl %cs:(%edx, %eax, 4), %edx
	testb $PRESENT, %dl
	jz 1f
	testb $WRITABLE, %dl
	jnz reflect_gives_up
	testb $FOR_USER, %dl
	jz reflect_gives_up
	cmpl $USER_WRITES_PRESENT, WORD_ERROR(%esp)
	jne reflect_gives_up
	jmp 2f
1:	testb $PRESENT, WORD_ERROR(%esp)	/* the shadow is older */
	jnz reflect_gives_up
2:	movl %cs:STATE(guest_tss) + TSS_esp1, %edx
	movl %cs:STATE(lguest_data), %ecx
	movl WORD_SS(%esp), %eax
	movl %eax, %ss:-4(%edx)
	movl WORD_ESP(%esp), %eax
	movl %eax, %ss:-8(%edx)
	movl WORD_EFLAGS(%esp), %eax
	testl $FLAG_IF, %cs:LGUEST_DATA_irq_enabled(%ecx)
	jnz 3f
	andl $~FLAG_IF, %eax
3:	movl %eax, %ss:-12(%edx)
	movl WORD_CS(%esp), %eax
	movl %eax, %ss:-16(%edx)
	movl WORD_EIP(%esp), %eax
	movl %eax, %ss:-20(%edx)
	movl WORD_ERROR(%esp), %eax
	movl %eax, %ss:-24(%edx)
reflect_is_safe:
	subl $24, %edx
	movl %edx, WORD_ESP(%esp)
	movl %cs:STATE(guest_tss) + TSS_ss1, %eax
	movl %eax, WORD_SS(%esp)
	movl %cs:STATE(page_fault_handler), %eax
	movl %eax, WORD_EIP(%esp)
	movl $GUEST_CS, WORD_CS(%esp)
	andl $~GONE_FLAGS, WORD_EFLAGS(%esp)
	popl %eax
	movl %eax, %ss:LGUEST_DATA_cr2(%ecx)
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected
	movl $0, %ss:LGUEST_DATA_irq_enabled(%ecx)
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %edx
	popl %ecx
	popl %eax
	addl $4, %esp
	iret
reflect_gives_up:
	popl %eax
	movl %eax, %cr2				/* a fault of our own has changed it */
	popl %edx
	popl %ecx
	popl %eax
9:	pushl $14
	jmp fault
