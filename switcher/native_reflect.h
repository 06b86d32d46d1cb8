/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fast path of the lean Switcher for a page fault of a program of an unmodified kernel (FAST_REFLECT): as in reflect.h,
 * it goes to the kernel's handler without a world switch when the Guest's page tables do not allow the access.
 *
 * Linux maps its memory from NATIVE_KERNEL_HALF on, and the Switcher reads the page tables there.  The Host kernel has
 * checked that the directory is there.  A page table may be elsewhere (beyond what Linux maps always): then what is read is
 * wrong, and the kernel gets a fault for an entry that allows the access.  The second fault at the same address goes to the
 * Host kernel, which alone clears "reflected", so that such a fault cannot be repeated without end.
 *
 * The kernel's stack is not checked by the Host kernel, so it must not be the Switcher's: the frame there is what the
 * Switcher's own iret uses.
 *
 * With PAE the entry of each level has two halves.  One that has more than NX in the upper half is left to the Host kernel,
 * because on a CPU its error code would differ.
 *
 * The stacks are those of reflect.h.  The interrupt flag is the real one, and the gate clears it.
 * Read before: reflect.h.  Read next: host_kernel/native/inject.c, which does the same in the Host kernel.
 * Next in the book: debug_exception.h.
 */
#define PTE_LARGE 0x80
#ifdef PAE
#define NOT_NX_HIGH 0x7FFFFFFF /* in the upper half of an entry */
#define TABLE_INDEX 0x1FF
#else
#define TABLE_INDEX 0x3FF
#endif

/* The entry of a table (edx) at an index, without its upper half: edx.  It must be present, or the fault is as the CPU says. */
.macro READ_ENTRY index, at=0
#ifdef PAE
	/* An entry of PAE has two halves.  One with more than NX in the upper one is left to the Host kernel. */
	leal (%edx, \index, 8), %edx
	movl %cs:\at + 4(%edx), %ecx
	movl %cs:\at(%edx), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
	testl $NOT_NX_HIGH, %ecx
	jnz reflect_gives_up
#else
	/* The entry.  An absent one settles it: the fault is the Guest's. */
	movl %cs:\at(%edx, \index, 4), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
#endif
.endm

native_page_fault:
	/* Is this fast path allowed now?  The Host kernel decides it at each entry. */
	testb $FAST_REFLECT, %cs:STATE(fast_path)
	jz 9f
	/* A single-stepped program is left to the Host kernel. */
	testl $FLAG_TF, FAULT_EFLAGS(%esp)
	jnz 9f
	/* Is there a handler that may be called from here? */
	cmpl $0, %cs:STATE(native_handler)
	je 9f
	REFLECT_BEGIN
native_reflect_may_fault:
	READ_ENTRY %ecx
	/* A large page is left to the Host kernel. */
	testb $PTE_LARGE, %dl
	jnz reflect_gives_up
	/* The page table's address, and the index of the page in it. */
	andl $~0xFFF, %edx
	shrl $12, %eax
	andl $TABLE_INDEX, %eax
	READ_ENTRY %eax, NATIVE_KERNEL_HALF
	/*
	 * Read-only and for programs?  Every other entry that is present allows the access, or is the Host kernel's to
	 * judge.
	 */
	andl $(PTE_WRITABLE | PTE_USER), %edx
	cmpl $PTE_USER, %edx
	jne reflect_gives_up
	/*
	 * A write to it is a fault of the Guest's (copy-on-write, for one).  The error code must say that the page is
	 * present, as the Guest's tables do.
	 */
	movb TRAP_ERROR(%esp), %dl		/* the shadow may lack an entry that the Guest has */
	orb $PTE_PRESENT, %dl
	cmpb $USER_WRITE_TO_PRESENT, %dl
	jne reflect_gives_up
	movb %dl, TRAP_ERROR(%esp)
	jmp 2f
	/* The Guest's entry is absent.  So must be the error code's word of it. */
1:	testb $PTE_PRESENT, TRAP_ERROR(%esp)
	jnz reflect_gives_up
	/*
	 * The Guest kernel's stack for traps, from its TSS.  It must not be in the Switcher's own pages, since the frame
	 * there is still needed.
	 */
2:	movl %cs:STATE(guest_tss) + TSS_esp1, %edx
	cmpl $SWITCHER_BASE, %edx
	ja reflect_gives_up
	REFLECT_STACK_WORDS
	/* The flags as the CPU pushed them: the interrupt flag is the real one. */
	movl TRAP_EFLAGS(%esp), %eax		/* RF as the CPU pushed it, as in the Host kernel */
	movl %eax, %ss:-12(%edx)
	REFLECT_CODE_WORDS
native_reflect_is_safe:
	REFLECT_TO_KERNEL_STACK
	/*
	 * The kernel's handler and its code segment, and no flag that a handler must not start with.  Its gate clears the
	 * interrupt flag, too.
	 */
	movl %cs:STATE(native_handler), %eax
	movl %eax, TRAP_EIP(%esp)
	movl %cs:STATE(native_handler_cs), %eax
	movl %eax, TRAP_CS(%esp)
	andl $~(CLEARED_FLAGS | FLAG_IF), TRAP_EFLAGS(%esp)
	/*
	 * The address of the fault, which the kernel's read of CR2 will find; and it is remembered, against an endless
	 * repetition.
	 */
	popl %eax
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_guest_cr2
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected
	/* The kernel's descriptor table, in which its iret to a program must fault. */
	lgdt %cs:LOADABLE(kernel_gdt)
	REFLECT_END
	/* Not for this fast path: the ordinary way to the Host kernel. */
9:	pushl $VECTOR_PAGE_FAULT
	jmp fault
