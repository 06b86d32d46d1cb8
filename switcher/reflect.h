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
	/* Three registers to work with, and the address of the fault: all is put back, whatever comes of it. */
	pushl %eax
	pushl %ecx
	pushl %edx
	/* The address, at once: a fault of the Switcher's own would overwrite CR2. */
	movl %cr2, %eax
	pushl %eax
	/* The same address as the last time?  Then the kernel's handler did not help, and the Host kernel must look. */
	cmpl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected, %eax
	je reflect_gives_up
	/* The entry of the Guest's page directory for this address: its upper bits are the index. */
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
	/* Where the program's stack was. */
	movl TRAP_SS(%esp), %eax
	movl %eax, %ss:-4(%edx)
	movl TRAP_ESP(%esp), %eax
	movl %eax, %ss:-8(%edx)
.endm

.macro REFLECT_CODE_WORDS
	/* Where the program was, and the error code on top, as the CPU pushes it. */
	movl TRAP_CS(%esp), %eax
	movl %eax, %ss:-16(%edx)
	movl TRAP_EIP(%esp), %eax
	movl %eax, %ss:-20(%edx)
	movl TRAP_ERROR(%esp), %eax
	movl %eax, %ss:-24(%edx)
.endm

/* The kernel's stack with this frame, as the one that iret loads: */
.macro REFLECT_TO_KERNEL_STACK
	/* The Switcher's iret shall load the kernel's stack with the new frame on it, instead of the program's. */
	subl $GUEST_FRAME_BYTES, %edx
	movl %edx, TRAP_ESP(%esp)
	movl %cs:STATE(guest_tss) + TSS_ss1, %eax
	movl %eax, TRAP_SS(%esp)
.endm

.macro REFLECT_END
	/*
	 * Count it, put the registers back, drop the error code: this iret leads to the kernel's handler.  There was no
	 * world switch.
	 */
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popl %edx
	popl %ecx
	popl %eax
	addl $4, %esp
	iret
.endm

page_fault:
	/* From ring 3?  A fault of the kernel itself may be a store to a descriptor table. */
	testb $2, FAULT_CS(%esp)		/* ring 3 */
	jz descriptor_store
#ifdef PAE
	/* Only unmodified kernels run with PAE. */
	jmp native_page_fault
#else					/* only lguest kernels without PAE run here */
	/*
	 * Is there a handler that may be called from here?  Without one it is an unmodified kernel, or the Host kernel has
	 * to do it.
	 */
	cmpl $0, %cs:STATE(page_fault_handler)
	je native_page_fault
	/* A pending interrupt has to be injected, which only the Host kernel can. */
	cmpl $0, %cs:STATE(interrupt_pending)
	jne 9f
	REFLECT_BEGIN
reflect_may_fault:
	/* The Guest's own tables, at the addresses where the Guest has them mapped: what does its directory say? */
	movl %cs:(%edx, %ecx, 4), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
	/* Its page table, by its address in the Guest's mapping of all memory; and the entry for this page. */
	andl $~0xFFF, %edx
	shrl $12, %eax
	addl %cs:STATE(linear_map), %edx
	andl $0x3FF, %eax
	movl %cs:(%edx, %eax, 4), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
	/* The Guest's entry allows the access: then only the shadow entry is missing, and the Host kernel fills it. */
	testb $PTE_WRITABLE, %dl
	jnz reflect_gives_up
	/* The entry is read-only, and the program wrote: that is a fault of the Guest's (copy-on-write, for one). */
	cmpl $USER_WRITE_TO_PRESENT, TRAP_ERROR(%esp)
	jne reflect_gives_up
	jmp 2f
	/* The Guest's entry is absent.  So must be the error code's word of it. */
1:	testb $PTE_PRESENT, TRAP_ERROR(%esp)	/* the shadow still has an entry that the Guest removed */
	jnz reflect_gives_up
	/* The Guest kernel's stack for traps, from its TSS, and its page with the interrupt flag. */
2:	movl %cs:STATE(guest_tss) + TSS_esp1, %edx
	movl %cs:STATE(lguest_data), %ecx
	REFLECT_STACK_WORDS
	/* The flags with the interrupt flag that the Guest believes to have: the real one is always set. */
	movl TRAP_EFLAGS(%esp), %eax
	testl $FLAG_IF, %cs:LGUEST_DATA_irq_enabled(%ecx)
	jnz 3f
	andl $~FLAG_IF, %eax
	/* The flags' place in the frame. */
3:	movl %eax, %ss:-12(%edx)
	REFLECT_CODE_WORDS
reflect_is_safe:
	REFLECT_TO_KERNEL_STACK
	/* The handler, in ring 1, and no flag that a handler must not start with. */
	movl %cs:STATE(page_fault_handler), %eax
	movl %eax, TRAP_EIP(%esp)
	movl $GUEST_CS, TRAP_CS(%esp)
	andl $~CLEARED_FLAGS, TRAP_EFLAGS(%esp)
	/* The address of the fault, where the Guest looks for it; and it is remembered, against an endless repetition. */
	popl %eax
	movl %eax, %ss:LGUEST_DATA_cr2(%ecx)
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected
	/* An interrupt gate: the handler starts with the Guest's interrupt flag off. */
	movl $0, %ss:LGUEST_DATA_irq_enabled(%ecx)
	REFLECT_END
#endif
reflect_gives_up:
	/* The Host kernel shall see the fault as it was: the address and the registers are put back. */
	popl %eax
	movl %eax, %cr2				/* a fault of the Switcher's own has changed it */
	popl %edx
	popl %ecx
	popl %eax
	/* The vector, and the ordinary way to the Host kernel. */
9:	pushl $VECTOR_PAGE_FAULT
	jmp fault
