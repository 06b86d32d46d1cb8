/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fast path of the lean Switcher for a page fault of a program that the Guest's page tables do not allow.  The fault
 * belongs to the Guest's kernel, so the Switcher reflects it: it goes to the kernel's handler as the CPU would have done.
 * The page tables do not change, so this is not a world switch.
 *
 * The Guest's page tables are read at the addresses that the Guest itself uses: an lguest kernel maps all of its memory
 * from its kernel address on.  Where that does not hold, the Switcher can reflect a fault that the Host kernel should have
 * handled.  Therefore a second fault at the same address, without an entry to the Host kernel in between, goes to the
 * Host kernel.  A read of the tables and a push on the Guest's stack can fault, because the shadow may lack the page.
 * lean.S recognises such a fault by its eip, and the Host kernel handles the original one.  All accesses are to addresses
 * that ring 1 can access too.
 *
 * The Switcher's stack behind the four pushes:         The frame pushed on the Guest kernel's stack (esp1):
 *
 *     esp + 36   ss       of the program, by the CPU       - 4    ss       of the program
 *     esp + 32   esp                                       - 8    esp
 *     esp + 28   eflags                                    - 12   eflags, IF as in lguest_data.irq_enabled
 *     esp + 24   cs                                        - 16   cs
 *     esp + 20   eip                                       - 20   eip
 *     esp + 16   error code                                - 24   error code   <- the handler's esp
 *     esp + 12   eax      saved here
 *     esp +  8   ecx
 *     esp +  4   edx
 *     esp        cr2
 *
 * Then the CPU's five words are replaced by those of the handler, so that the Switcher's iret goes there.
 *
 * Read before: lean.S.  Read next: native_reflect.h; host_kernel/lguest/traps.c and inject.c,
 * which do the same in the Host kernel.
 * Next in the book: fast_paths.h.
 */
#define FAULT_ERROR  0 /* on entry */
#define FAULT_CS     8
#define FAULT_EFLAGS 12
#define SAVED_BYTES  16 /* cr2, edx, ecx and eax */
#define TRAP_ERROR   SAVED_BYTES
#define TRAP_EIP     (SAVED_BYTES + 4)
#define TRAP_CS      (SAVED_BYTES + 8)
#define TRAP_EFLAGS  (SAVED_BYTES + 12)
#define TRAP_ESP     (SAVED_BYTES + 16)
#define TRAP_SS      (SAVED_BYTES + 20)
#define GUEST_FRAME_BYTES 24
#define PTE_PRESENT  1
#define PTE_WRITABLE 2
#define PTE_USER     4
#define USER_WRITE_TO_PRESENT 7 /* an error code */
#define CLEARED_FLAGS 0x14100 /* RF, NT, TF */

/* What both personalities do.  The four registers, and in edx and ecx where in the Guest's page directory the address is: */
.macro REFLECT_BEGIN
	pushl %eax
	pushl %ecx
	pushl %edx
	movl %cr2, %eax
	pushl %eax
	cmpl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected, %eax
	je reflect_gives_up
	movl %eax, %ecx
#ifdef PAE
	shrl $30, %ecx
	movl %cs:STATE(page_directories)(, %ecx, 4), %edx
	movl %eax, %ecx
	shrl $21, %ecx
	andl $0x1FF, %ecx
#else
	movl %cs:STATE(page_directories), %edx
	shrl $22, %ecx
#endif
.endm

/* Words of the frame, below edx: */
.macro REFLECT_STACK_WORDS
	movl TRAP_SS(%esp), %eax
	movl %eax, %ss:-4(%edx)
	movl TRAP_ESP(%esp), %eax
	movl %eax, %ss:-8(%edx)
.endm

.macro REFLECT_CODE_WORDS
	movl TRAP_CS(%esp), %eax
	movl %eax, %ss:-16(%edx)
	movl TRAP_EIP(%esp), %eax
	movl %eax, %ss:-20(%edx)
	movl TRAP_ERROR(%esp), %eax
	movl %eax, %ss:-24(%edx)
.endm

/* The kernel's stack with this frame, as the one that iret loads: */
.macro REFLECT_TO_KERNEL_STACK
	subl $GUEST_FRAME_BYTES, %edx
	movl %edx, TRAP_ESP(%esp)
	movl %cs:STATE(guest_tss) + TSS_ss1, %eax
	movl %eax, TRAP_SS(%esp)
.endm

.macro REFLECT_END
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %edx
	popl %ecx
	popl %eax
	addl $4, %esp
	iret
.endm

page_fault:
	testb $2, FAULT_CS(%esp)		/* ring 3 */
	jz descriptor_store
#ifdef PAE
	jmp native_page_fault
#else					/* only lguest kernels without PAE run here */
	cmpl $0, %cs:STATE(page_fault_handler)
	je native_page_fault
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 9f
	REFLECT_BEGIN
reflect_may_fault:
	movl %cs:(%edx, %ecx, 4), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
	andl $~0xFFF, %edx
	shrl $12, %eax
	addl %cs:STATE(linear_map), %edx
	andl $0x3FF, %eax
	movl %cs:(%edx, %eax, 4), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
	testb $PTE_WRITABLE, %dl
	jnz reflect_gives_up
	cmpl $USER_WRITE_TO_PRESENT, TRAP_ERROR(%esp)
	jne reflect_gives_up
	jmp 2f
1:	testb $PTE_PRESENT, TRAP_ERROR(%esp)	/* the shadow still has an entry that the Guest removed */
	jnz reflect_gives_up
2:	movl %cs:STATE(guest_tss) + TSS_esp1, %edx
	movl %cs:STATE(lguest_data), %ecx
	REFLECT_STACK_WORDS
	movl TRAP_EFLAGS(%esp), %eax
	testl $FLAG_IF, %cs:LGUEST_DATA_irq_enabled(%ecx)
	jnz 3f
	andl $~FLAG_IF, %eax
3:	movl %eax, %ss:-12(%edx)
	REFLECT_CODE_WORDS
reflect_is_safe:
	REFLECT_TO_KERNEL_STACK
	movl %cs:STATE(page_fault_handler), %eax
	movl %eax, TRAP_EIP(%esp)
	movl $GUEST_CS, TRAP_CS(%esp)
	andl $~CLEARED_FLAGS, TRAP_EFLAGS(%esp)
	popl %eax
	movl %eax, %ss:LGUEST_DATA_cr2(%ecx)
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected
	movl $0, %ss:LGUEST_DATA_irq_enabled(%ecx)
	REFLECT_END
#endif
reflect_gives_up:
	popl %eax
	movl %eax, %cr2				/* a fault of the Switcher's own has changed it */
	popl %edx
	popl %ecx
	popl %eax
9:	pushl $VECTOR_PAGE_FAULT
	jmp fault
