/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lguest_pages: what the Switcher, the Host kernel and the Launcher know of the 4 MiB at SWITCHER_BASE.
 *
 * This is the only description of it.  C includes this file; tools/layouts.py reads the same lines and
 * writes offsets.h for the assembler and lguest_py/shared_memory/_layouts.py for Python.  So: structs of u8, u16, u32
 * and u64 (u64 on a multiple of 8), arrays, structs already seen; constants as plain integers.
 *
 * Read next: switcher/switcher.S, which uses it; switcher/lean.S.
 */
#ifndef SWITCHER_LAYOUTS_LGUEST_PAGES_H
#define SWITCHER_LAYOUTS_LGUEST_PAGES_H
#include "switcher/layouts/types.h"

/* The region's pages.  In the Guest's page tables all are supervisor pages, which ring 1 can read. */
#define SWITCHER_BASE        0xFFC00000 /* text: the classic Switcher or the lean one; read-only in both worlds */
#define SWITCHER_STACK_PAGE  0xFFC01000 /* ends in struct registers: the CPU pushes here, so ring 1 can write it */
#define SWITCHER_STATE_PAGE  0xFFC02000 /* struct lguest_state: read-only in the Guest's tables */
#define SWITCHER_PAGES       3
#define SWITCHER_DATA_PAGE   0xFFC04000 /* lean: the one or two pages of the Guest's own that hold its lguest_data */

/* Selectors that mean the same in the Host's GDT and in the Guest's, so that a load between the two is harmless. */
#define HOST_CS   0x50
#define HOST_DS   0x58
#define GUEST_CS  0x61 /* GDT entry 12, RPL 1 */
#define GUEST_DS  0x69 /* GDT entry 13, RPL 1 */
#define TSS_SEL   0x80 /* GDT entry 16 */
#define GDT_HOST_CS  10
#define GDT_HOST_DS  11
#define GDT_GUEST_CS 12
#define GDT_GUEST_DS 13
#define GDT_TSS      16
#define GDT_ENTRIES  32
#define IDT_ENTRIES  256

/* Vectors of the machine's own interrupts.  Their gates are DPL 0 in every IDT, or a Guest could forge one. */
#define VECTOR_TIMER    0xF0
#define VECTOR_DOORBELL 0xF1
#define VECTOR_SPURIOUS 0xFF

#define FAST_FLAGS 1 /* cli and sti of a kernel whose interrupt flag is the real one */
#define FAST_IRET  2 /* its iret to an ordinary program */

#define TRAP_NONE 256 /* preset in trapnum: no vector has this number */

/*
 * The Guest's registers, in the order in which the CPU and then a stub push them (from the end upwards here).
 * A hypercall's number and arguments are the first five.
 */
struct registers {
	u32 eax;
	u32 ebx;
	u32 ecx;
	u32 edx;
	u32 esi;
	u32 edi;
	u32 ebp;
	u32 gs;
	u32 fs;
	u32 ds;
	u32 es;
	u32 trapnum;
	u32 errcode;
	u32 eip;
	u32 cs;
	u32 eflags;
	u32 esp;
	u32 ss;
};

/* The start of the stack page: ring 1 can write here, so these are for show, and never for a decision. */
struct untrusted {
	u32 reflected; /* the address of the last fault that the Switcher reflected, unless the Host was entered since */
	u32 fast_paths; /* how often the Switcher answered by itself: these are not world switches */
};

/* What lgdt and lidt load: six bytes, kept so that base is aligned. Source: Intel SDM vol. 3, 3.5.1. */
struct table_register {
	u16 unused;
	u16 limit;
	u32 base;
};

/* A 32-bit task-state segment as far as we use it. Source: Intel SDM vol. 3, 8.2.1. */
struct tss {
	u32 back_link;
	u32 esp0;
	u32 ss0;
	u32 esp1;
	u32 ss1;
	u32 esp2;
	u32 ss2;
	u32 not_used[18];
	u16 trap;
	u16 io_bitmap; /* at or beyond the segment's limit: no port is open to ring 1 or 3 */
};

/* The state page.  Written by the Host kernel and, before it changes page tables, by the classic Switcher. */
struct lguest_state {
	u32 host_esp;
	u32 host_cr3;
	u32 guest_cr3;
	u32 host_gdt_base; /* to clear the busy bit of the Host's TSS before it is loaded again */
	struct table_register host_gdt;
	struct table_register host_idt;
	struct table_register guest_gdt;
	struct table_register guest_idt;
	struct tss guest_tss;
	u32 fast_path;       /* ANSWER_*: what the Switcher may answer without leaving the Guest's page tables */
	u32 interrupt_pending;      /* an interrupt waits for the Guest to open its flag */
	u32 page_fault_handler;   /* the Guest's page fault handler, where the lean Switcher may go to it by itself, or 0 */
	u32 page_directory; /* for that: where the Guest sees its page directory, */
	u32 linear_map;    /* and its memory, */
	u32 lguest_data;      /* and where the Switcher sees lguest_data */
	u32 ring_status;    /* where the Switcher finds the state of the asynchronous ring's next entry */
	u32 no_ring;   /* 0: where it finds that until there is a ring */
	u32 user_cs;      /* for FAST_IRET: the selectors of an ordinary program, */
	u32 user_ss;
	u32 kernel_ss;    /* of the kernel's stack, flat, */
	u32 esp0_address; /* and where in the Guest's (mapped) memory its TSS holds the stack for traps from ring 3 */
	struct table_register kernel_gdt; /* gdt, and its twin in which the programs' code is present */
	struct table_register user_gdt;
	u64 gdt[32];
	u64 gdt_user[32];
	u64 idt[256];
};

#endif
