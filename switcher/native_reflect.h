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
	leal (%edx, \index, 8), %edx
	movl %cs:\at + 4(%edx), %ecx
	movl %cs:\at(%edx), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
	testl $NOT_NX_HIGH, %ecx
	jnz reflect_gives_up
#else
	movl %cs:\at(%edx, \index, 4), %edx
	testb $PTE_PRESENT, %dl
	jz 1f
#endif
.endm

native_page_fault:
	testb $FAST_REFLECT, %cs:STATE(fast_path)
	jz 9f
	testl $FLAG_TF, FAULT_EFLAGS(%esp)
	jnz 9f
	cmpl $0, %cs:STATE(native_handler)
	je 9f
	REFLECT_BEGIN
native_reflect_may_fault:
	READ_ENTRY %ecx
	testb $PTE_LARGE, %dl
	jnz reflect_gives_up
	andl $~0xFFF, %edx
	shrl $12, %eax
	andl $TABLE_INDEX, %eax
	READ_ENTRY %eax, NATIVE_KERNEL_HALF
	andl $(PTE_WRITABLE | PTE_USER), %edx
	cmpl $PTE_USER, %edx
	jne reflect_gives_up
	movb TRAP_ERROR(%esp), %dl		/* the shadow may lack an entry that the Guest has */
	orb $PTE_PRESENT, %dl
	cmpb $USER_WRITE_TO_PRESENT, %dl
	jne reflect_gives_up
	movb %dl, TRAP_ERROR(%esp)
	jmp 2f
1:	testb $PTE_PRESENT, TRAP_ERROR(%esp)
	jnz reflect_gives_up
2:	movl %cs:STATE(guest_tss) + TSS_esp1, %edx
	cmpl $SWITCHER_BASE, %edx
	ja reflect_gives_up
	REFLECT_STACK_WORDS
	movl TRAP_EFLAGS(%esp), %eax		/* RF as the CPU pushed it, as in the Host kernel */
	movl %eax, %ss:-12(%edx)
	REFLECT_CODE_WORDS
native_reflect_is_safe:
	REFLECT_TO_KERNEL_STACK
	movl %cs:STATE(native_handler), %eax
	movl %eax, TRAP_EIP(%esp)
	movl %cs:STATE(native_handler_cs), %eax
	movl %eax, TRAP_CS(%esp)
	andl $~(CLEARED_FLAGS | FLAG_IF), TRAP_EFLAGS(%esp)
	popl %eax
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_guest_cr2
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_reflected
	lgdt %cs:LOADABLE(kernel_gdt)
	REFLECT_END
9:	pushl $VECTOR_PAGE_FAULT
	jmp fault
