/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM's self-test: does this KVM run 32-bit code with paging, and ring 1 below ring 0?
 *
 * Entered at its first byte (0x1000) in 32-bit protected mode with flat segments and paging off, in 64 KiB of
 * zeroed RAM from 0.  Each step writes one 32-bit result to RESULT_PORT; the last instruction is hlt.
 * lguest_py/kvm/selftest/__init__.py lists the results that a true 32-bit processor gives.
 *
 * Pages: 0x1000 this code and its tables, 0x4000 the page directory, 0x5000 the page table of the lowest 4 MiB,
 * 0x6000 the page table at HIGH, 0x7000 the page that is mapped there twice, 0x8000 up: the first stack's end.
 */
#define BASE        0x1000
#define DIRECTORY   0x4000
#define LOW_TABLE   0x5000
#define HIGH_TABLE  0x6000
#define HIGH_FRAME  0x7000
#define STACK_TOP   0x9000
#define RING1_STACK 0xA000
#define HIGH        0xFFC00000          /* writable */
#define HIGH_RO     0xFFC01000          /* the same page, read-only */
#define RESULT_PORT 0x510

#define CODE0 0x08
#define DATA0 0x10
#define CODE1 0x19
#define DATA1 0x21
#define TSS   0x28

#define CR0_WP 0x00010000
#define CR0_PG 0x80000000
#define AT(label) (label - start + BASE)

        .macro  RESULT value            /* clobbers eax and edx */
        mov     \value, %eax
        mov     $RESULT_PORT, %edx
        out     %eax, %dx
        .endm

        .text
        .globl  start
start:
        cld
        mov     $STACK_TOP, %esp
        lgdt    AT(gdt_register)
        ljmp    $CODE0, $AT(reloaded)
reloaded:
        mov     $DATA0, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        lidt    AT(idt_register)

        /* The lowest 64 KiB map to themselves; HIGH_FRAME is mapped at HIGH and, read-only, at HIGH_RO. */
        movl    $(LOW_TABLE | 3), DIRECTORY
        movl    $(HIGH_TABLE | 3), DIRECTORY + (HIGH >> 22) * 4
        movl    $(HIGH_FRAME | 3), HIGH_TABLE
        movl    $(HIGH_FRAME | 1), HIGH_TABLE + 4
        mov     $LOW_TABLE, %edi
        mov     $3, %eax
        mov     $16, %ecx
1:      stosl
        add     $0x1000, %eax
        loop    1b
        mov     $DIRECTORY, %eax
        mov     %eax, %cr3
        mov     %cr0, %eax
        or      $(CR0_PG | CR0_WP), %eax
        mov     %eax, %cr0
        jmp     1f
1:      movl    $0x51F7E57, HIGH
        RESULT  HIGH_FRAME              /* 1: what was written through HIGH */

        /* The stack for traps from ring 1 ends with the page at HIGH, as the Switcher's does. */
        movw    $TSS, %ax
        ltr     %ax
        str     %ecx
        RESULT  %ecx                    /* 2: the TSS's selector */

        int     $0x30                   /* 3: CS of the interrupted code, ring 0 */

        pushl   $DATA1
        pushl   $RING1_STACK
        pushl   $2
        pushl   $CODE1
        pushl   $AT(ring1)
        iret

ring1:
        mov     $DATA1, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %cs, %ecx
        int     $0x31                   /* 4 to 7: CS as ring 1 sees it; CS, SS and ESP on the stack in ring 0 */
        cli                             /* 8, 9: #GP, because IOPL is 0 */
        movl    $1, HIGH_RO             /* 10, 11: #PF, although ring 1 is a supervisor */
        int     $0x32                   /* to ring 0 for good */

trap_from_ring0:
        RESULT  4(%esp)
        iret

trap_from_ring1:
        mov     $DATA0, %eax
        mov     %eax, %ds
        RESULT  %ecx
        RESULT  4(%esp)
        RESULT  16(%esp)
        RESULT  %esp                    /* HIGH + 0x1000, less the five words */
        mov     $DATA1, %eax
        mov     %eax, %ds
        iret

general_protection:
        RESULT  (%esp)                  /* the error code */
        RESULT  8(%esp)                 /* CS */
        add     $4, %esp
        incl    (%esp)                  /* behind cli, one byte */
        iret

page_fault:
        RESULT  (%esp)                  /* the error code: present, write */
        RESULT  %cr2
        add     $4, %esp
        addl    $10, (%esp)             /* behind movl $imm32, address */
        iret

done:
        mov     $DATA0, %eax
        mov     %eax, %ds
        RESULT  HIGH_FRAME              /* 12: the read-only write did not happen */
        mov     $0x600D, %ebx
1:      hlt
        jmp     1b

        .balign 8
gdt:    .quad   0
        .quad   0x00CF9B000000FFFF      /* CODE0 */
        .quad   0x00CF93000000FFFF      /* DATA0 */
        .quad   0x00CFBB000000FFFF      /* CODE1 */
        .quad   0x00CFB3000000FFFF      /* DATA1 */
        .word   tss_end - tss - 1, AT(tss)
        .byte   0, 0x89, 0, 0
gdt_end:
        .word   0
gdt_register:
        .word   gdt_end - gdt - 1
        .long   AT(gdt)

        .macro  GATE handler, dpl
        .word   AT(\handler), CODE0
        .byte   0, 0x8E | \dpl << 5
        .word   0
        .endm

        .balign 8
idt:    .fill   13, 8, 0
        GATE    general_protection, 0
        GATE    page_fault, 0
        .fill   0x30 - 15, 8, 0
        GATE    trap_from_ring0, 0
        GATE    trap_from_ring1, 1
        GATE    done, 1
idt_end:
        .word   0
idt_register:
        .word   idt_end - idt - 1
        .long   AT(idt)

        .balign 4
tss:    .long   0, HIGH + 0x1000, DATA0
        .fill   22, 4, 0
        .word   0, tss_end - tss        /* no I/O bitmap */
tss_end:
