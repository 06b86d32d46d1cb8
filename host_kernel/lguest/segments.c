/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's GDT, in the state page.  Rules that protect ring 0: no descriptor has DPL 0, no descriptor is a gate or a TSS,
 * and all are marked accessed, so that the CPU need not write them (the page is read-only in the Guest's page tables).
 * Source: Intel SDM vol. 3, 3.4.5.
 * Next in the book: gates.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/descriptor.h"
#include "host_kernel/base/end.h"
#include "host_kernel/memory/page_tables.h"

#define GDT_DOUBLE_FAULT 31
#define GDT_TLS       6

#define CODE_RING_1 0x00CFBB000000FFFFull
#define DATA_RING_1 0x00CFB3000000FFFFull
#define DESCRIPTOR_32_BITS (1ull << 54)

static inline __attribute__((always_inline)) void set_descriptor(u32 entry, u32 low, u32 high)
{
	if (high & HIGH_P) {
		if (!(high & HIGH_S))
			kill_guest("GDT entry %u is a system descriptor: %#08x %#08x", entry, low, high);
		if (!(high & HIGH_DPL))
			high |= HIGH_DPL_1;
		high |= HIGH_ACCESSED;
	}
	state->gdt[entry] = ((u64)high << 32) | low;
}

void segments_init(void)
{
	struct registers *regs = guest.regs;

	state->gdt[GDT_GUEST_CS] = CODE_RING_1;
	state->gdt[GDT_GUEST_DS] = DATA_RING_1;
	*regs = (struct registers){ .eip = machine.guest_entry, .cs = GUEST_CS, .eflags = EFLAGS_FIXED | EFLAGS_IF,
				    .ds = GUEST_DS, .es = GUEST_DS, .ss = GUEST_DS, .trapnum = TRAP_NONE };
}

void load_gdt_entry(u32 entry, u32 low, u32 high)
{
	if (entry >= GDT_ENTRIES)
		kill_guest("GDT entry %u does not exist", entry);
	if (entry == GDT_HOST_CS || entry == GDT_HOST_DS || entry == GDT_TSS || entry == GDT_DOUBLE_FAULT)
		return;
	set_descriptor(entry, low, high);
}

void load_tls(const u32 descriptors[6])
{
	for (u32 slot = 0; slot < 3; slot++) /* a device may write there: what is checked is what is used */
		set_descriptor(GDT_TLS + slot, read_once(&descriptors[slot * 2]), read_once(&descriptors[slot * 2 + 1]));
}

u32 lguest_segment_base(u16 selector)
{
	u64 descriptor = selector & 4 ? 0 : state->gdt[(selector >> 3) % GDT_ENTRIES];

	return (u32)(descriptor >> 16 & 0xFFFFFF) | (u32)(descriptor >> 56) << 24;
}

/* A 32-bit code segment with base 0: decode() can read at eip. */
bool lguest_is_flat_code(u16 selector)
{
	return !(selector & 4) && !lguest_segment_base(selector) && (state->gdt[(selector >> 3) % GDT_ENTRIES] & DESCRIPTOR_32_BITS);
}

/* SET_STACK: the kernel stack for direct system calls from ring 3 and for injected traps. */
void set_stack(u32 selector, u32 pointer, u32 pages)
{
	if ((selector & 3) != 1)
		kill_guest("bad stack segment %#x", selector);
	if (pages < 1 || pages > 2)
		kill_guest("a stack of %u pages", pages);
	state->guest_tss.ss1 = selector;
	state->guest_tss.esp1 = pointer;
	pin_stack((pointer + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1), pages);
}
