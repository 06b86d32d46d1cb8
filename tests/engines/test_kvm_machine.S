/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program for a bare machine, for tests/engines/test_kvm_machine.py: it does what ebx says and writes to the exit port.
 * Loaded and entered at 0x1000.  Its parameters and results are at BOX; the test has the same offsets.
 */
#include "offsets.h"

#define BASE     0x1000
#define BOX      0x2000
#define DOORBELL (BOX + 0)      /* parameters: ports, and the pin */
#define ACK      (BOX + 4)
#define DEBUG    (BOX + 8)
#define EXIT     (BOX + 12)
#define PIN      (BOX + 16)
#define WANTED   (BOX + 20)     /* interrupts to wait for */
#define TAKEN    (BOX + 24)     /* results: interrupts taken, */
#define TICKS    (BOX + 28)     /* of the timer's, */
#define FLAGS    (BOX + 32)     /* eflags, cr0, ds, esp and ebx at entry, */
#define FLAG     (BOX + 60)     /* set by the test, */
#define CPUID    (BOX + 64)     /* four words for each of seven leaves */
#define IDT      0x3000
#define STACK    0x5000

#define AT(label) (label - start + BASE)

        .macro  SEND port, value
        mov     \port, %edx
        mov     \value, %eax
        out     %al, %dx
        .endm

        .text
        .globl  start
start:
        mov     $STACK, %esp
        pushf
        popl    FLAGS
        mov     %cr0, %eax
        mov     %eax, FLAGS + 4
        mov     %ebx, FLAGS + 8
        and     $15, %ebx
        jmp     *AT(commands)(, %ebx, 4)

        .balign 4
commands:
        .long   AT(leave), AT(print), AT(ring), AT(receive), AT(triple), AT(spin), AT(halt), AT(cpuids)
        .long   AT(read_port), AT(read_memory), AT(tick), AT(leave), AT(leave), AT(leave), AT(leave), AT(leave)

leave:  SEND    EXIT, $EXIT_VALUE
spin:   cli
        jmp     spin

halt:   cli
        hlt
        jmp     halt

print:  mov     $AT(text), %esi
1:      lodsb
        test    %al, %al
        jz      leave
        mov     DEBUG, %edx
        out     %al, %dx
        jmp     1b
text:   .asciz  "one\ntwo\n"

ring:   SEND    DOORBELL, $1
1:      pause
        cmpl    $0, FLAG
        je      1b
        movl    $0, FLAG
        decl    WANTED
        jnz     ring
        jmp     leave

/* Wait for WANTED doorbell interrupts; ring after each. */
receive:
        call    interrupts_on
        movl    $IO_APIC_ADDRESS, %edi
        mov     PIN, %eax
        lea     0x11(, %eax, 2), %eax
        mov     %eax, (%edi)
        movl    $0, 0x10(%edi)
        dec     %eax
        mov     %eax, (%edi)
        movl    $VECTOR_DOORBELL, 0x10(%edi)
        mov     ACK, %ebx
        test    %ebx, %ebx
        jz      1f
        lea     1(%ebx), %edx           /* a 16550: interrupt on data, no FIFO left full, OUT2 */
        mov     $1, %al
        out     %al, %dx
        lea     2(%ebx), %edx
        mov     $7, %al
        out     %al, %dx
        lea     4(%ebx), %edx
        mov     $8, %al
        out     %al, %dx
1:      SEND    DOORBELL, $1            /* ready */
2:      sti
        hlt
        cli
        mov     TAKEN, %eax
        cmp     WANTED, %eax
        jb      2b
        jmp     leave

/* WANTED shots of the local APIC's timer, a millisecond each. */
tick:   call    interrupts_on
        movl    $0xB, LOCAL_APIC_ADDRESS + 0x3E0
        movl    $VECTOR_TIMER, LOCAL_APIC_ADDRESS + 0x320
        rdtsc
        mov     %eax, FLAGS
        mov     %edx, FLAGS + 4
1:      movl    $1000000, LOCAL_APIC_ADDRESS + 0x380
        mov     TICKS, %ecx
2:      sti
        hlt
        cli
        cmp     %ecx, TICKS
        je      2b
        mov     TICKS, %eax
        cmp     WANTED, %eax
        jb      1b
        rdtsc
        mov     %eax, FLAGS + 8
        mov     %edx, FLAGS + 12
        jmp     leave

/* The APIC on, our three gates, the 8259s off. */
interrupts_on:
        mov     $0xFF, %al
        out     %al, $0x21
        out     %al, $0xA1
        lgdt    AT(gdt_register)
        ljmp    $0x08, $AT(1f)
1:      mov     $AT(on_doorbell), %eax
        mov     $(IDT + VECTOR_DOORBELL * 8), %edi
        call    gate
        mov     $AT(on_timer), %eax
        mov     $(IDT + VECTOR_TIMER * 8), %edi
        call    gate
        mov     $AT(on_spurious), %eax
        mov     $(IDT + VECTOR_SPURIOUS * 8), %edi
        call    gate
        lidt    AT(idt_register)
        movl    $0x10000, LOCAL_APIC_ADDRESS + 0x350
        movl    $(0x100 | VECTOR_SPURIOUS), LOCAL_APIC_ADDRESS + 0xF0
        ret
gate:   mov     %ax, (%edi)
        movw    $0x08, 2(%edi)
        movw    $0x8E00, 4(%edi)
        movw    $0, 6(%edi)
        ret

on_doorbell:
        mov     ACK, %ebx
        test    %ebx, %ebx
        jz      2f
1:      lea     5(%ebx), %edx
        in      %dx, %al
        test    $1, %al
        jz      2f
        mov     %ebx, %edx
        in      %dx, %al
        jmp     1b
2:      incl    TAKEN
        movl    $0, LOCAL_APIC_ADDRESS + 0xB0
        SEND    DOORBELL, $1
        iret
on_timer:
        incl    TICKS
        movl    $0, LOCAL_APIC_ADDRESS + 0xB0
on_spurious:
        iret

cpuids: mov     $CPUID, %edi
        mov     $AT(leaves), %esi
1:      lodsl
        xor     %ecx, %ecx
        cpuid
        mov     %eax, (%edi)
        mov     %ebx, 4(%edi)
        mov     %ecx, 8(%edi)
        mov     %edx, 12(%edi)
        add     $16, %edi
        cmp     $AT(leaves_end), %esi
        jb      1b
        jmp     leave
        .balign 4
leaves: .long   0, 1, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000004
leaves_end:

triple: lidt    AT(no_idt)
        mov     $0x1234, %ecx
        int3

read_port:
        mov     $0x1234, %edx
        in      %dx, %al
        jmp     leave

read_memory:
        mov     0xD0000000, %eax
        jmp     leave

        .balign 8
gdt:    .quad   0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_register:
        .word   gdt_register - gdt - 1
        .long   AT(gdt)
idt_register:
        .word   0x7FF
        .long   IDT
no_idt: .word   0
        .long   0
