/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a random Guest of tests/lab/hostile_code.py stands on: it starts, runs slots of SLOT bytes of random code in ring 1
 * and ring 3, and whatever trap comes, goes on with the next slot, so that it lives long.  After BUDGET traps, or
 * behind the last slot, it powers off.  NATIVE chooses the personality; hostile_lab.py gives the addresses.
 *
 * Nothing here trusts ds or es: the words of its own are reached through ss and cs.
 */
#include "offsets.h"

#if NATIVE
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define USER_DS   0x2B
#define TSS_OF_GUEST 0x30
#else
#define KERNEL_CS GUEST_CS
#define KERNEL_DS GUEST_DS
#define USER_DS   0x7B
#endif
#if PAE
#define CR4 0x20
#define MENDED 6 /* pages: the PDPT, the page directory, four tables */
#else
#define CR4 0x10
#define MENDED 3 /* the page directory and two tables */
#endif
#define EFLAGS_TF 0x100
#define PUSHED    32 /* bytes of pushal; above them vector, error, eip, cs, eflags, esp, ss */
#define VECTOR    (PUSHED)
#define EIP       (PUSHED + 8)
#define CS        (PUSHED + 12)
#define EFLAGS    (PUSHED + 16)

	.macro	HYPERCALL number, a=$0, b=$0, c=$0
	movl	$\number, %eax
	movl	\a, %ebx
	movl	\b, %ecx
	movl	\c, %edx
	int	$HYPERCALL_VECTOR
	.endm

	.text
	.globl	start
start:
	cld
#if NATIVE
	lgdt	gdt_pointer
	lidt	idt_pointer
	ljmp	$KERNEL_CS, $1f
1:	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$STACK, %esp
	movl	$TSS_OF_GUEST, %eax
	ltr	%ax
	call	set_control
	call	set_timer
#else
	HYPERCALL	LHCALL_LGUEST_INIT, $DATA
	xorl	%ebp, %ebp
1:	movl	IDT(, %ebp, 8), %ecx
	movl	IDT + 4(, %ebp, 8), %edx
	movl	%ebp, %ebx
	movl	$LHCALL_LOAD_IDT_ENTRY, %eax
	int	$HYPERCALL_VECTOR
	incl	%ebp
	cmpl	$256, %ebp
	jne	1b
	HYPERCALL	LHCALL_LOAD_GDT_ENTRY, $14, $0xFFFF, $0xCFFB00
	HYPERCALL	LHCALL_LOAD_GDT_ENTRY, $15, $0xFFFF, $0xCFF300
	HYPERCALL	LHCALL_NEW_PGTABLE, $DIRECTORY
	movl	$STACK, %esp
	HYPERCALL	LHCALL_SET_STACK, $KERNEL_DS, $STACK, $1
	cmpl	$0, CLOCK
	je	1f
	HYPERCALL	LHCALL_SET_CLOCKEVENT, $2000000
	movl	$GUEST_IF, DATA
1:
#endif
	jmp	SLOTS

	.globl	finish
finish:
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
#if NATIVE
	movl	$ACPI_PM1_CONTROL, %edx
	movl	$(0x2000 | ACPI_SLEEP_TYPE_OFF << 10), %eax
	outw	%ax, %dx
#else
	HYPERCALL	LHCALL_SHUTDOWN, $goodbye, $SHUTDOWN_POWEROFF
#endif
	jmp	finish
goodbye:
	.asciz	"Power down"

#if NATIVE
set_control:
	movl	$DIRECTORY, %ebx
set_control_but_cr3:
#if PAE
	movl	$0xC0000080, %ecx		/* EFER: NXE */
	movl	$0x800, %eax
	xorl	%edx, %edx
	wrmsr
#endif
	movl	%ebx, %cr3
	movl	$CR4, %eax
	movl	%eax, %cr4
	movl	$0x80010033, %eax
	movl	%eax, %cr0
	ret

set_timer:
	movb	$0x11, %al	/* the interrupt controllers: vectors from 0x20 on, all open */
	outb	%al, $0x20
	movb	$0x20, %al
	outb	%al, $0x21
	movb	$4, %al
	outb	%al, $0x21
	movb	$3, %al		/* no end of interrupt is awaited */
	outb	%al, $0x21
	xorb	%al, %al
	outb	%al, $0x21
	movb	$0x34, %al	/* and a timer, some hundred times a second */
	outb	%al, $0x43
	xorb	%al, %al
	outb	%al, $0x40
	movb	$0x10, %al
	outb	%al, $0x40
	ret

/* GDT, IDT and the stack in the TSS, as they were at first. */
mend_descriptors:
	movl	$~0, %ebx
	movl	$KEPT, %esi
	movl	$GDT, %edi
	movl	$(4096 / 4), %ecx		/* the GDT's page */
	call	mend
	movl	$IDT, %edi
	movl	$(2048 / 4), %ecx
	call	mend
	movl	$STACK, %ss:TSS + 4
	movl	$KERNEL_DS, %ss:TSS + 8
	lgdt	%ss:gdt_pointer
	lidt	%ss:idt_pointer
	ret

	.balign	4
	.word	0
gdt_pointer:
	.word	0xFF
	.long	GDT
	.word	0
idt_pointer:
	.word	0x7FF
	.long	IDT
#endif

/* Where the words of a table differ from those that were kept, but for what the CPU sets: ebx keeps those bits. */
mend:
1:	movl	%ss:(%esi), %eax
	movl	%ss:(%edi), %edx
	xorl	%eax, %edx
	andl	%ebx, %edx
	jz	2f
	movl	%eax, %ss:(%edi)
2:	addl	$4, %esi
	addl	$4, %edi
	decl	%ecx
	jnz	1b
	ret

/* The page tables, but for the bits that the CPU sets. */
mend_tables:
	movl	$~0x60, %ebx
	movl	$(KEPT + 4096 + 2048), %esi
	movl	$DIRECTORY, %edi
	movl	$(MENDED * 4096 / 4), %ecx
	call	mend
	ret

/* After any trap or interrupt. */
	.balign	16
common:
	pushal
	cld
	decl	%ss:BUDGET
	jz	finish
	movl	VECTOR(%esp), %eax
	cmpl	$1, %eax
	je	stepped
	cmpl	$FIRST_IRQ_VECTOR, %eax
	ja	resume
	jb	0f
	testl	$1, %ss:BUDGET			/* the clock: now and then it ends an endless loop */
	jnz	resume
0:
	cmpl	$3, %eax
	je	resume
	cmpl	$4, %eax
	je	resume
	movl	EIP(%esp), %eax
	movl	CS(%esp), %edx
	andl	$3, %edx
	cmpl	$3, %edx
	jne	in_kernel
	testl	$3, %ss:BUDGET			/* now and then, back to ring 1 */
	jz	next_of_kernel
	subl	$USER_SLOTS, %eax
	cmpl	$(SLOTS_BYTES - SLOT), %eax
	jae	next_of_kernel
	andl	$~(SLOT - 1), %eax
	addl	$(USER_SLOTS + SLOT), %eax
	movl	%eax, EIP(%esp)
	jmp	resume
stepped:
	testl	$7, %ss:BUDGET
	jnz	resume
	andl	$~EFLAGS_TF, EFLAGS(%esp)
resume:
#if NATIVE
	cmpl	$0x80, VECTOR(%esp)		/* its gate may go direct, and closed interrupts */
	jne	1f
	cli					/* as kernels do before they leave: from here on iret faults */
1:
#else
	movl	$GUEST_IF, %ss:DATA
	cmpl	$FIRST_IRQ_VECTOR, VECTOR(%esp)
	jne	1f
	HYPERCALL LHCALL_SET_CLOCKEVENT, $300000
1:
#endif
	popal
	addl	$8, %esp
	iret

in_kernel:
	subl	$SLOTS, %eax
	cmpl	$SLOTS_BYTES, %eax
	jae	next_of_kernel
	andl	$~(SLOT - 1), %eax
	addl	$(SLOTS + SLOT), %eax
	jmp	go
next_of_kernel:
	movl	%ss:PROGRESS, %eax
go:	cmpl	$(SLOTS + SLOTS_BYTES), %eax
#if REFILL
	jae	refill
#else
	jae	finish
#endif
	movl	%eax, %ebp
	addl	$SLOT, %eax
	movl	%eax, %ss:PROGRESS
	movl	$STACK, %esp
#if NATIVE
	movl	%ss:MENDS, %eax
	testl	%eax, %ss:BUDGET
	jnz	1f
	call	mend_descriptors
	call	mend_tables
	call	set_control
1:
#else
	movl	$GUEST_IF, %ss:DATA		/* an endless loop may follow, */
	HYPERCALL LHCALL_SET_CLOCKEVENT, $300000	/* and the clock's interrupt may be what led here */
#endif
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	testl	$15, %ss:BUDGET			/* now and then, to ring 3 */
	jnz	1f
	movl	%ebp, %eax
	subl	$SLOTS, %eax
	addl	$USER_SLOTS, %eax
	pushl	$USER_DS
	pushl	$USER_STACK
	pushl	$0x202
	pushl	$(USER_DS - 8)
	pushl	%eax
	iret
1:
#if REFILL && NATIVE
	sti					/* the clock ends an endless loop */
#endif
	jmp	*%ebp

#if REFILL
/*
 * Wait while the test looks at the Host's memory (a slot comes here), and while it writes the next slots; it says so in WAITING.
 * All tables are flushed before, so that each entry of the current shadow has its entry in the Guest's tables.
 */
refill:	movl	$WAIT_REFILL, %ebp
	jmp	1f
	.globl	look
look:	movl	$WAIT_LOOK, %ebp
1:	movl	$STACK, %esp
#if NATIVE
	call	mend_descriptors
#endif
	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	cld
	call	mend_tables
#if NATIVE
	cli
	call	set_timer
	movl	%cr3, %ebx
	call	set_control_but_cr3
#else
	movl	$0, DATA
	HYPERCALL	LHCALL_SET_CLOCKEVENT, $0
	HYPERCALL	LHCALL_LOAD_GDT_ENTRY, $14, $0xFFFF, $0xCFFB00
	HYPERCALL	LHCALL_LOAD_GDT_ENTRY, $15, $0xFFFF, $0xCFF300
	HYPERCALL	LHCALL_SET_STACK, $KERNEL_DS, $STACK, $1
	HYPERCALL	LHCALL_FLUSH_TLB, $1
#endif
	movl	%ebp, WAITING
2:	pause
	cmpl	%ebp, WAITING
	je	2b
	cmpl	$WAIT_AGAIN, WAITING		/* a device may have written behind the flush */
	je	1b
	cmpl	$WAIT_FINISH, WAITING
	je	finish
#if NATIVE
	call	set_control
#else
	HYPERCALL	LHCALL_NEW_PGTABLE, $DIRECTORY
	HYPERCALL	LHCALL_FLUSH_TLB, $1	/* no clock yet: it would end the copy */
#endif
	cmpl	$WAIT_LOOK, %ebp
	je	next_of_kernel
	movl	$BUFFER, %esi
	movl	$SLOTS, %edi
	movl	$(2 * SLOTS_BYTES / 4), %ecx	/* those of programs lie behind them */
	rep movsl
	movl	$SLOTS, PROGRESS
	jmp	next_of_kernel
#endif

	.balign	4096
	.globl	stubs
stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	pushl	$0
	.endif
	pushl	$vector
	jmp	common
	.set	vector, vector + 1
	.endr

#if REFILL
	.balign	4096
	jmp	look				/* LOOK */
#endif
