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
	/* Is this fast path allowed now?  The Host kernel decides that at each entry. */
	testb $FAST_STORES, %cs:STATE(fast_path)
	jz 9f
	/* Was it a write by ring 1 to a page that is present?  Only a write-protected descriptor table does that here. */
	cmpl $STORE_TO_PRESENT, STORE_ERROR(%esp)
	jne 9f
	/* A single-stepped store must raise a debug exception behind it, which the Host kernel does. */
	testl $(FLAG_TF | FLAG_VM), STORE_EFLAGS(%esp)
	jnz 9f
	/* All registers: the instruction that faulted is decoded, and any of them may hold its value. */
	pushal
	/* Is the address, which the CPU left in CR2, one of those descriptors that each change of tasks stores to? */
	movl %cr2, %ebx
	subl %cs:STATE(stores_start), %ebx	/* the offset in the descriptors */
	cmpl %cs:STATE(stores_bytes), %ebx
	jae 8f
	/* Only a whole, aligned word: half of a descriptor. */
	testb $3, %bl
	jnz 8f
	/* Is it the kernel, in a flat code segment?  Only there eip is the address of the instruction's bytes. */
	movl PUSHED_CS(%esp), %eax
	cmpl %cs:STATE(flat_cs), %eax
	jne 8f
	/*
	 * The bytes are read from the Guest's code.  All that a mov may have must lie in this page, which is mapped, since
	 * it was just executed.
	 */
	movl PUSHED_EIP(%esp), %esi
	movl %esi, %eax
	andl $0xFFF, %eax
	cmpl $0x1000 - LONGEST_MOV, %eax	/* in one page */
	ja 8f
	/* Only a mov of a register to memory. */
	cmpb $MOV_STORE, %cs:(%esi)
	jne 8f
	/* How long is the instruction?  The ModRM byte tells which register is stored, and whether more bytes follow. */
	movzbl %cs:1(%esi), %edx		/* ModRM */
	movl $2, %ecx				/* the instruction's length */
	movl %edx, %eax
	andl $7, %eax
	/* With this value one more byte follows, which holds the base register. */
	cmpl $RM_SIB, %eax
	jne 1f
	incl %ecx
	movzbl %cs:2(%esi), %eax
	andl $7, %eax				/* the base in the SIB byte */
	/* A displacement of four bytes, of one, or none.  Without one a certain base means four, too. */
1:	testb $MOD_WORD, %dl
	jnz 3f
	testb $MOD_BYTE, %dl
	jnz 2f
	cmpl $RM_NO_BASE, %eax
	je 3f
	jmp 4f
	/* One byte more. */
2:	incl %ecx
	jmp 4f
	/* Four bytes more. */
3:	addl $4, %ecx
	/* The number of the register that is stored.  esp is not among the saved ones: the Host kernel does that. */
4:	shrl $3, %edx
	andl $7, %edx
	cmpl $ESP_NUMBER, %edx
	je 8f
	/* Its value, as pushal has saved it: in the reverse order of the numbers. */
	negl %edx
	movl PUSHED_EAX(%esp, %edx, 4), %edx	/* the value */
	/* The whole descriptor as it would be after the store: one half is new, the other one is read from the table. */
	movl %ebx, %edi
	andl $~7, %edi				/* the descriptor, as it would be: esi and eax */
	movl %cs:STATE(stores_alias), %ebp
	movl %cs:(%ebp, %edi), %eax
	movl %cs:4(%ebp, %edi), %esi
	testb $4, %bl
	jnz 5f
	/* The new half is the lower one.  0 there is how a descriptor begins to vanish, which never needs the Host kernel. */
	movl %edx, %eax
	testl %eax, %eax
	jz 7f
	jmp 6f
	/* The new half is the upper one. */
5:	movl %edx, %esi
	/* A descriptor that is not present needs no copy in the CPU's table. */
6:	testl $HIGH_PRESENT, %esi
	jz 7f
	/*
	 * It is present: is it the one that the CPU has already?  If it is another one, the Host kernel must check and
	 * copy it.
	 */
	cmpl %cs:STATE(stores_seen)(%edi), %eax
	jne 8f
	cmpl %cs:STATE(stores_seen) + 4(%edi), %esi
	jne 8f
	/* The store itself, through another mapping of the same page, which is writable; and on to the next instruction. */
7:	movl %edx, %ss:(%ebp, %ebx)
	addl %ecx, PUSHED_EIP(%esp)
	/* Does any descriptor differ from what the CPU has now?  All of them are compared, since they are few. */
	xorl %edx, %edx
	movl %cs:STATE(stores_bytes), %edi
0:	movl %cs:-4(%ebp, %edi), %eax
	xorl %cs:STATE(stores_seen) - 4(%edi), %eax
	orl %eax, %edx
	subl $4, %edi
	jnz 0b
	/* The answer is kept for the fast path of iret: a program must not run with a stale descriptor. */
	movl %edx, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_stale
	/*
	 * The selector that allows that fast path, or 0 while something is stale.  Without a branch: sbb makes a mask of
	 * the comparison.
	 */
	cmpl $1, %edx
	sbbl %eax, %eax				/* all ones where nothing is stale */
	andl %cs:STATE(iret_ss), %eax
	movl %eax, %ss:SWITCHER_STACK_PAGE + UNTRUSTED_iret_ss
	/* Back to the kernel, behind its store.  It is counted as a fast path: there was no world switch. */
	incl %ss:SWITCHER_STACK_PAGE + UNTRUSTED_fast_paths
	popal
	addl $4, %esp				/* the error code */
	iret
	/* None of the above: the Host kernel handles it, as an ordinary page fault. */
8:	popal
9:	pushl $(VECTOR_PAGE_FAULT - VECTOR_BIAS)
	jmp fault
