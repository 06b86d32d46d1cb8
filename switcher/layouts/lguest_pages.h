/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chapter: The Switcher. The run loop called switch_worlds() and went on when the Guest had stopped. In between the
 * processor changed its page tables, its stack and its ring, and came back. The code that does so lies on a page which
 * both worlds map at the same address, or the first instruction after the load of CR3 would not be there. A trap can
 * come at any of these instructions, and a Guest would like to choose at which. So what counts here is not the few
 * instructions of the way to the Guest, but what is true between each two of them.
 *
 * lguest_pages: the 4 MiB at SWITCHER_BASE, as the Switcher, the Host kernel and the Launcher share them.
 *
 * This is the only description.  C includes this file; tools/layouts.py reads the same lines and writes offsets.h for the
 * assembler and lguest_py/shared_memory/_layouts.py for Python.  It understands structs of u8, u16, u32 and u64 (u64 on a
 * multiple of 8), arrays, structs defined above, and constants that are plain integers.
 *
 * Read next: switcher/switcher.S, which uses it; switcher/lean.S.
 * Next in the book: frame.h.
 */
#ifndef SWITCHER_LAYOUTS_LGUEST_PAGES_H
#define SWITCHER_LAYOUTS_LGUEST_PAGES_H
#include "switcher/layouts/types.h"

/* The pages.  In the Guest's page tables all are supervisor pages, which ring 1 can read. */
#define SWITCHER_BASE        0xFFC00000 /* text: the classic Switcher or the lean one; read-only in both worlds */
#define SWITCHER_STACK_PAGE  0xFFC01000 /* ends in struct registers: the CPU pushes here, so ring 1 can write it */
#define SWITCHER_STATE_PAGE  0xFFC02000 /* struct lguest_state: read-only in the Guest's tables */
#define SWITCHER_PAGES       3
#define SWITCHER_DATA_PAGE   0xFFC04000 /* Guest memory: for lean the one or two pages of lguest_data, or a native GDT's */

/* Selectors of the same segments in the Host's GDT and in the Guest's, so that they stay valid across a load of GDTR. */
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
#define GDT_RETURN   32 /* the Switcher's own: its stack at the return by a second frame */
#define IDT_ENTRIES  256
#define ERROR_CODE_VECTORS 0x60227D00 /* bit n: exception n pushes an error code (Intel SDM vol. 3, table 6-1; AMD APM vol. 2, 8.2) */

/* Vectors of the machine's interrupts.  Their gates have DPL 0 in every IDT, so that a Guest cannot raise one by int. */
#define VECTOR_TIMER    0xF0
#define VECTOR_DOORBELL 0xF1
#define VECTOR_SPURIOUS 0xFF

/* Fast paths (lguest_state.fast_path): what the Switcher may do without a world switch. */
#define FAST_IRET_KERNEL 4 /* its iret to itself */
#define FAST_STORES 8 /* its stores to the descriptors that each change of tasks stores to */
#define FAST_POPF 16 /* in place of kernel_cs, for a kernel whose popf sets the flag: the same for what stands in its code: */
#define INSTEAD_OF_CLI  0x6C /* insb, which no kernel uses without rep */
#define INSTEAD_OF_POPF 0x17 /* pop of ss: flags have bit 1, so as a selector their RPL is not that of ring 1 */
#define FAST_REFLECT 32 /* page faults of its programs, to native_handler */

#define NATIVE_KERNEL_HALF 0xC0000000 /* from here on Linux maps its memory, and all its directories are the same */

#define TRAP_NONE 256 /* preset in trapnum: not a vector */

/*
 * The Guest's registers, in the order of the stack: the CPU and then an entry of the Switcher push them from ss to eax.
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

/* The start of the stack page.  Ring 1 can write here, so these are statistics and hints, never a basis of security. */
struct untrusted {
	u32 reflected;  /* the address of the last fault that the Switcher reflected; 0 after an exit (native: of a page fault) */
	u32 fast_paths; /* how many traps the Switcher handled on a fast path: these are not world switches */
	u32 last_cli;   /* for FAST_POPF: the address of the last cli that cleared the interrupt flag */
	u32 stale;      /* not 0: descriptors that the Switcher stored differ from those that the CPU has */
	u32 guest_cr2;  /* native: the Guest's CR2, */
	u32 guest_cr3;  /* and its CR3, to be read */
	u32 iret_ss;    /* native: that of the state, or 0 while a descriptor is stale */
};

/* What lgdt and lidt load: six bytes from limit on, with base aligned. Source: Intel SDM vol. 3, 3.5.1. */
struct table_register {
	u16 unused;
	u16 limit;
	u32 base;
};

/* A 32-bit task-state segment; only the stacks and the I/O bitmap are used. Source: Intel SDM vol. 3, 8.2.1. */
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

/* The state page.  The Host kernel writes it, and the classic Switcher while the Host's page tables are loaded. */
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
	u32 fast_path;          /* FAST_*: which fast paths are allowed now */
	u32 interrupt_pending;  /* an interrupt is pending that the Guest has masked by its interrupt flag */
	u32 page_fault_handler; /* the lean Switcher may reflect page faults to this address of the Guest's; 0: it may not */
	u32 page_directories[4]; /* for reflecting: the Guest-virtual address of its page directory (with PAE, of all four), */
	u32 linear_map;         /* and of its physical memory, */
	u32 lguest_data;        /* and the address of lguest_data in SWITCHER_DATA_PAGE */
	u32 ring_status;        /* the address of the status byte of the next entry in the asynchronous ring */
	u32 no_ring;            /* 0, not HCALL_FREE: ring_status points here before there is a ring */
	u32 user_cs;            /* the selectors of an ordinary program, */
	u32 user_ss;
	u32 iret_ss;            /* and of the kernel's stack when its iret to that may be answered; 0: it may not */
	u32 kernel_cs;          /* of a kernel whose interrupt flag is the real one: its cli, sti and reads of CR2 and CR3; 0: none */
	u32 kernel_ss;          /* the selector of the kernel's stack segment, which is flat */
	u32 esp0_address;       /* where the Guest's TSS, in mapped memory, holds the stack for traps from ring 3 */
	u32 stores_start;       /* for FAST_STORES: the address of the first such descriptor in the Guest's GDT, */
	u32 stores_bytes;       /* how many bytes they are, */
	u32 stores_alias;       /* the address in SWITCHER_DATA_PAGE where they are writable, */
	u32 native_handler;     /* native: where the lean Switcher may reflect a program's page fault to; 0: nowhere */
	u32 native_handler_cs;  /* and its code segment */
	u64 stores_seen[4];     /* and what was copied of them into gdt and gdt_user */
	u32 return_dr7;         /* for the return by a second frame: DR7 from then on, */
	u32 return_esp;         /* and the stack with that frame */
	u32 return_ss;
	u32 flat_cs;            /* native: the kernel's code segment, if it is flat: only there an instruction is read at eip; or 0 */
	struct table_register kernel_gdt; /* gdt, for ring 1 */
	struct table_register user_gdt;   /* gdt_user, for ring 3: the programs' code segments are present */
	u64 gdt[33];            /* the entries of the Guest's, and GDT_RETURN */
	u64 gdt_user[33];
	u64 idt[256];
};

#endif
