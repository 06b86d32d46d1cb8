/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An unmodified kernel that does what a list of cases says: put two entries into its page tables, then read, write or fetch
 * in ring 1 or ring 3 through them, and note what came of it.  At the end of the list it powers off.
 * PAE: its page tables have this form.  Run by tests/host_kernel/test_walk_model.py, which makes the tables and the list.
 */
#define CODE      0x10
#define DATA      0x18
#define USER_CODE 0x23
#define USER_DATA 0x2B
#define TSS       0x30
#define USER  4 /* in a case's kind; below it 0: read, 1: write, 2: fetch */
#define WP    8
#define NXE   16
#define END   0xFFFFFFFF
#define CASE_PDE    0 /* a case: two entries of 8 bytes, what to do, then the answer: */
#define CASE_PTE    8
#define CASE_KIND   16
#define CASE_ERROR  20 /* the error code; -1: no fault */
#define CASE_CR2    24
#define CASE_VALUE  28 /* what was read */
#define CASE_BYTES  32
#define MSR_EFER 0xC0000080
#define EFER_NXE 0x800
#define CR0 0x80000033
#define CR0_WP 0x10000
#define PM1_CONTROL 0x604

#include "tests/lab/small_kernel.h"

	.text
	.globl	start
start:
	cld
	GATE	14, page_fault, 0x8E00
	GATE	0x40, done, 0xEE00
	lgdt	gdt_pointer
	lidt	idt_pointer
	ljmp	$CODE, $1f
1:	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$stack, %esp
	movl	$TSS, %eax
	ltr	%ax
#if PAE
	movl	$0x20, %eax
#else
	movl	$0x10, %eax
#endif
	movl	%eax, %cr4
	movl	$DIRECTORY, %eax
	movl	%eax, %cr3
	movl	$CR0, %eax
	movl	%eax, %cr0
	movl	$CASES, %esi

next:
	movl	CASE_KIND(%esi), %ebx
	cmpl	$END, %ebx
	je	finish
#if PAE
	movl	$MSR_EFER, %ecx
	xorl	%edx, %edx
	movl	%ebx, %eax
	andl	$NXE, %eax
	shll	$7, %eax			/* to EFER_NXE */
	wrmsr
#endif
	movl	$CR0, %eax
	testl	$WP, %ebx
	jz	1f
	orl	$CR0_WP, %eax
1:	movl	%eax, %cr0
	movl	CASE_PDE(%esi), %eax
	movl	%eax, PDE
	movl	CASE_PTE(%esi), %eax
	movl	%eax, PTE
#if PAE
	movl	CASE_PDE + 4(%esi), %eax
	movl	%eax, PDE + 4
	movl	CASE_PTE + 4(%esi), %eax
	movl	%eax, PTE + 4
#endif
	movl	$DIRECTORY, %eax
	movl	%eax, %cr3
	movl	$-1, CASE_ERROR(%esi)
	movl	$stack, %esp
	movl	$0x5EED, %eax			/* what a read leaves alone if it faults */
	movl	%ebx, %edx
	andl	$3, %edx
	movl	routines(, %edx, 4), %edx
	testl	$USER, %ebx
	jz	1f
	pushl	$USER_DATA
	pushl	$user_stack
	pushl	$2
	pushl	$USER_CODE
	pushl	$in_user
	iret
1:	call	*%edx
	int	$0x40
in_user:
	call	*%edx
	int	$0x40

routines:
	.long	do_read, do_write, TARGET, 0
do_read:
	movl	TARGET + 16, %eax
	ret
do_write:
	movl	$0x1234, TARGET + 20
	ret

page_fault:
	popl	CASE_ERROR(%esi)
	movl	%cr2, %ecx
	movl	%ecx, CASE_CR2(%esi)
done:
	movl	%eax, CASE_VALUE(%esi)
	movl	PDE, %eax			/* the lower halves, with the bits that the CPU sets */
	movl	%eax, CASE_PDE(%esi)
	movl	PTE, %eax
	movl	%eax, CASE_PTE(%esi)
	addl	$CASE_BYTES, %esi
	jmp	next

finish:
	movl	$PM1_CONTROL, %edx
	movw	$0x3400, %ax
	outw	%ax, %dx
	hlt

	.data
	.balign	8
gdt:	.quad	0, 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF
	.word	0x67, tss_low, 0x8900 | tss_middle, tss_high
	.set	tss_low, TSS_AT & 0xFFFF
	.set	tss_middle, TSS_AT >> 16
	.set	tss_high, 0
gdt_pointer:
	.word	0x37
	.long	gdt
idt_pointer:
	.word	0x7FF
	.long	idt

	.section .tss, "aw"			/* at TSS_AT */
	.long	0, stack, DATA
	.zero	92

	.bss
	.balign	4096
idt:	.zero	4096
	.zero	4096
stack:
	.zero	4096
user_stack:
