/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lguest personality: a paravirtual kernel, which keeps its interrupt flag in memory and makes hypercalls.
 * What the files of this folder share.  Read next: personality.c.
 * Next in the book: personality.c.
 */
#ifndef HOST_KERNEL_LGUEST_LGUEST_H
#define HOST_KERNEL_LGUEST_LGUEST_H
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "switcher/layouts/lguest_abi.h"

/* The Guest's virtual interrupt flag, as a bit of eflags. */
static inline u32 interrupts_flag(void)
{
	return guest.data ? guest.data->irq_enabled & GUEST_IF : EFLAGS_IF;
}

static inline void interrupts_disable(void)
{
	if (guest.data)
		guest.data->irq_enabled = 0;
}

/* abi.c */
u32 abi_data_bytes(void);
void abi_read(const struct lguest_data *data);

/* first_tables.c */
u32 first_tables(void);

/* segments.c */
void segments_init(void);
void load_gdt_entry(u32 entry, u32 low, u32 high);
void load_tls(const u32 descriptors[6]);
void set_stack(u32 selector, u32 pointer, u32 pages);
u32 lguest_segment_base(u16 selector);
bool lguest_is_flat_code(u16 selector);

/* gates.c */
void gates_init(void);
void load_idt_entry(u32 entry, u32 low, u32 high);
void gates_reflect(void);

/* inject.c */
bool has_handler(u32 vector);
void inject(u32 vector, u32 error);

/* interrupts.c */
void raise_irq(u32 irq);
void withdraw_irq(u32 irq);
void inject_interrupts(void);
void check_wakeable(void);

/* hypercalls.c */
void do_hypercalls(void);

/* traps.c */
void handle_trap(void);
bool software_interrupt(u32 vector, u32 length);

/* emulate.c */
bool emulate(void);

#endif
