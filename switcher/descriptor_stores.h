/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fast path of both Switchers for stores of an unmodified kernel to its GDT, which is write-protected (FAST_STORES).
 * Linux stores to the descriptors of thread-local storage at each change of tasks.  The Host kernel must hear of it only
 * when the CPU's copy of a descriptor has to change.
 *
 * That is so when the store makes a descriptor that is present and not the one that the CPU has.  Any other store is done
 * here, through a mapping of the Guest's page that is writable.  A descriptor that becomes not present stays in the CPU's
 * copy, as a stale TLB entry would, and "stale" keeps the fast path of iret from a program that could see it.  A lower half
 * of 0 is the start of a descriptor that becomes not present, so it is done here too.
 *
 * The store is a mov of a register, at an address in cr2.  Its bytes were just executed, so they are mapped.
 *
 * The Switcher's stack after the pushal:
 *
 *     esp + 44   eflags    by the CPU, and esp and ss above
 *     esp + 40   cs
 *     esp + 36   eip
 *     esp + 32   error code
 *     esp + 28   eax       saved here; then ecx, edx, ebx, esp (the Switcher's), ebp, esi
 *     esp        edi
 *
 * Read before: fast_paths.h.  Read next: host_kernel/native/gdt.c.
 * Next in the book: native_reflect.h.
 */
#define STORE_ERROR  0 /* on entry */
#define STORE_EFLAGS 12
#define STORE_TO_PRESENT 3 /* an error code: ring 1 wrote to a read-only page */
#define LONGEST_MOV 7
#define MOV_STORE 0x89
#define MOD_BYTE  0x40 /* in a ModRM byte: a displacement of one byte, */
#define MOD_WORD  0x80 /* or of four */
#define RM_SIB    4
#define RM_NO_BASE 5
#define HIGH_PRESENT 0x8000
descriptor_store:
	testb $FAST_STORES, %cs:STATE(fast_path)
	jz 9f
	cmpl $STORE_TO_PRESENT, STORE_ERROR(%esp)
	jne 9f
	testl $(FLAG_TF | FLAG_VM), STORE_EFLAGS(%esp)
	jnz 9f
	pushal
	movl %cr2, %ebx
	subl %cs:STATE(stores_start), %ebx	/* the offset in the descriptors */
	cmpl %cs:STATE(stores_bytes), %ebx
	jae 8f
	testb $3, %bl
	jnz 8f
	movl PUSHED_CS(%esp), %eax
	cmpl %cs:STATE(flat_cs), %eax
	jne 8f
	movl PUSHED_EIP(%esp), %esi
	movl %esi, %eax
	andl $0xFFF, %eax
	cmpl $0x1000 - LONGEST_MOV, %eax	/* in one page */
	ja 8f
	cmpb $MOV_STORE, %cs:(%esi)
	jne 8f
	movzbl %cs:1(%esi), %edx		/* ModRM */
	movl $2, %ecx				/* the instruction's length */
	movl %edx, %eax
	andl $7, %eax
	cmpl $RM_SIB, %eax
	jne 1f
	incl %ecx
	movzbl %cs:2(%esi), %eax
	andl $7, %eax				/* the base in the SIB byte */
1:	testb $MOD_WORD, %dl
	jnz 3f
	testb $MOD_BYTE, %dl
	jnz 2f
	cmpl $RM_NO_BASE, %eax
	je 3f
	jmp 4f
2:	incl %ecx
	jmp 4f
3:	addl $4, %ecx
4:	shrl $3, %edx
	andl $7, %edx
	cmpl $ESP_NUMBER, %edx
	je 8f
	negl %edx
	movl PUSHED_EAX(%esp, %edx, 4), %edx	/* the value */
	movl %ebx, %edi
	andl $~7, %edi				/* the descriptor, as it would be: esi and eax */
	movl %cs:STATE(stores_alias), %ebp
	movl %cs:(%ebp, %edi), %eax
	movl %cs:4(%ebp, %edi), %esi
	testb $4, %bl
	jnz 5f
	movl %edx, %eax
	testl %eax, %eax
	jz 7f
	jmp 6f
5:	movl %edx, %esi
6:	testl $HIGH_PRESENT, %esi
	jz 7f
	cmpl %cs:STATE(stores_seen)(%edi), %eax
	jne 8f
	cmpl %cs:STATE(stores_seen) + 4(%edi), %esi
	jne 8f
7:	movl %edx, %ss:(%ebp, %ebx)
	addl %ecx, PUSHED_EIP(%esp)
	xorl %edx, %edx
	movl %cs:STATE(stores_bytes), %edi
0:	movl %cs:-4(%ebp, %edi), %eax
	xorl %cs:STATE(stores_seen) - 4(%edi), %eax
	orl %eax, %edx
	subl $4, %edi
	jnz 0b
	movl %edx, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_stale
	cmpl $1, %edx
	sbbl %eax, %eax				/* all ones where nothing is stale */
	andl %cs:STATE(iret_ss), %eax
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_iret_ss
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popal
	addl $4, %esp				/* the error code */
	iret
8:	popal
9:	pushl $(VECTOR_PAGE_FAULT - VECTOR_BIAS)
	jmp fault
