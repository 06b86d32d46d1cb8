/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chapter: Mastery. So far the Guest helped. This chapter is about a kernel that does not: a distribution's own, which
 * loads its descriptor tables, sets flags and returns from interrupts as if it were in ring 0. Most of its privileged
 * instructions fault in ring 1, and are emulated. Some do not fault and do something else there, and these need an idea
 * each. At the end a Guest leaves its machine for another one, and the Launcher gives up its rights before the first
 * instruction of a Guest that it does not trust.
 *
 * The native personality: an unmodified kernel in ring 1, by trap and emulate.
 *
 * The Guest's interrupt flag is the real one, so that pushf and interrupt gates work without a trap.  cli and sti fault in
 * ring 1 (IOPL is 0) and are emulated.  iret in ring 1 cannot set the flag, so it is made to fault: a frame that returns to
 * the kernel has RPL 0, and the programs' code segments are not present while the kernel runs.
 *
 * Read next: personality.c.
 * Next in the book: personality.c.
 */
#ifndef HOST_KERNEL_NATIVE_NATIVE_H
#define HOST_KERNEL_NATIVE_NATIVE_H
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/instruction/instruction.h"

#define CR0_PE 0x1
#define CR0_ET 0x10
#define CR4_DE  0x8
#define CR4_PGE 0x80
#define RPL 3u
#define HLT 0xF4 /* an opcode */
#define SELECTOR_TI 4u
#define TSS_ESP0 4 /* in a TSS: the stack for traps from ring 3 */
#define TSS_SS0  8
#define TSS_IO_BITMAP 0x66 /* a word: the offset of the I/O bitmap in the TSS */

/* The CPU's registers as the unmodified kernel sees them. */
struct native {
	u32 efer;
	u32 cr0, cr3, cr4; /* untrusted->guest_cr2 is where the Switcher can read it */
	u32 gdt_base, gdt_limit;
	u32 idt_base, idt_limit;
	bool idt_loaded; /* by the kernel itself */
	bool descriptors_differ; /* from those for which drop_bad_segments() checked the registers */
	u32 page_fault_handler; /* through an interrupt gate; 0: there is another gate, or none */
	u32 tss_base, tss_limit;
	u16 tss_selector, ldt_selector;
	bool flushed;            /* the kernel flushed addresses, and nothing else was done */
	bool port_accessed;      /* and nothing else was done: what an entry prepares is still right, but for the GDT */
	u32 stepping;      /* single-stepping: one instruction runs with so many write-protected pages writable: */
	u32 step_pages[2]; /* two, because a store may cross pages */
	u32 step_flags;    /* its IF and TF before that */
	bool page_unprotected;    /* a page that holds a descriptor table is writable (write_protect.c): */
	u32 unprotected_frame;    /* this one */
	u32 fast_popf; /* FAST_POPF or 0, */
	u32 kernel_cs_mask; /* and the opposite, for state->kernel_cs */
};
extern struct native native;

/* emulate.c, system.c */
bool native_emulate(u32 error);
bool emulate_program_io(u32 error);
bool emulate_program_interrupt(u32 error);
bool emulate_system(struct instruction *instruction);

/* debug.c */
void native_debug_exception(void);
bool emulate_debug_register(struct instruction *instruction, bool write);

/* popf.c */
void popf_init(void);

/* operand.c */
bool operand_read(struct instruction *instruction, void *to, u32 address, u32 count);
bool operand_write(struct instruction *instruction, u32 address, const void *from, u32 count);

/* refill.c */
void refill(void);

/* step.c */
void step_unprotect(bool open);
void step_end(void);
void step_store(u32 address, u32 frame);
void native_reflect_page_fault(u32 address, u32 error);

/* segments.c */
void native_segments_init(void);
void choose_gdt(u32 ring);
void choose_kernel_gdt(void);
void kernel_code_changed(void);
void ldt_load(u16 selector);
bool ldt_hides_code(void);
bool ldt_special(void);
void tss_load(u16 selector);
bool tss_opens_ports(u16 port, u32 size);
bool is_flat_code(u16 selector);
bool read_descriptor(u16 selector, u32 *low, u32 *high);
u32 segment_base(u16 selector);
bool loadable(u16 selector, bool stack, u32 ring);
void drop_bad_segments(void);

/* gdt.c */
#define GDT_ENTRY_BYTES 8u
void gdt_load(u32 base, u32 limit);
void gdt_set(u32 entry, u64 descriptor);
bool gdt_sync_entries(u32 first, u32 last);
void gdt_sync(void);
void gdt_hide(u32 entries);
u64 guest_descriptor(u32 entry);
bool is_kernel_code(u16 selector);
void stores_learn(u32 page, u32 frame, u32 first, u32 last);
void stores_forget(void);
void stores_sync(void);
bool stores_allowed(void);

/* write_protect.c */
#define ERROR_IDT 2u /* in an error code: the selector index is that of an IDT entry */
void descriptor_tables_sync(void);
void descriptors_changed(u32 page, u32 frame, u32 first, u32 last);
void descriptor_tables_loaded(void);
bool unprotect_busy_page(u32 address, u32 frame);
bool unprotected_page_trap(u32 vector, u32 error);
void unprotected_page_hide(void);

/* gates.c */
#define GATE_P      0x8000u
#define GATE_DPL    0x6000u
#define GATE_TYPE   0x1F00u
#define GATE_TASK   0x500u
#define GATE_INTERRUPT 0xE00u
#define GATE_TRAP   0xF00u
#define GATE_BYTES 8u
bool read_gate(u32 vector, u32 *low, u32 *high);
bool gate_for_programs(u32 vector);
void idt_sync(void);

/* inject.c */
u32 inject_once(u32 vector, u32 error, u32 length, u32 *where);

/* exceptions.c */
void native_inject(u32 vector, u32 error);
void inject_debug(u32 cause);
void native_software_interrupt(u32 vector, u32 length);
void native_page_fault(u32 address, u32 error);

/* iret.c */
bool emulate_iret(struct instruction *instruction);
bool emulate_far_return(struct instruction *instruction, u32 drop);

/* control.c */
void reflect_allow(void);
void control_init(void);
u32 read_control(u32 number);
bool write_control(u32 number, u32 value);
bool read_msr(u32 number, u32 *low, u32 *high);
bool write_msr(u32 number, u32 low, u32 high);

#endif
