/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's IDT, twice: as it loaded it (guest.idt, from which we deliver), and the one that the CPU uses, in which
 * nearly every gate leads to the Switcher.  Source: Intel SDM vol. 3, 6.11.
 * Read next: deliver.c.
 */
#include "host_kernel/base/host.h"

#define TRAP_PAGE_FAULT 14u
#define HIGH_P     0x8000u
#define HIGH_DPL   0x6000u
#define HIGH_TYPE  0x1F00u
#define TYPE_INTERRUPT 0xE00u
#define TYPE_TRAP      0xF00u
#define DPL_1      0x2000u

const u32 *switcher_entries;

static bool is_ours(u32 vector)
{
	return vector == VECTOR_TIMER || vector == VECTOR_DOORBELL || vector == VECTOR_SPURIOUS;
}

/*
 * Straight to the Guest go only trap gates, since an interrupt gate must also clear its virtual interrupt flag; and
 * only vectors that nothing but an instruction of the Guest's can raise: a fault of the Switcher's own would turn
 * into a double fault, an interrupt of the machine's would be lost.
 */
static bool is_direct(u32 vector, u32 high)
{
	if ((high & HIGH_TYPE) != TYPE_TRAP || is_ours(vector))
		return false;
	return vector == 3 || vector == 4 || (vector >= FIRST_IRQ_VECTOR && guest.data && vector == guest.data->syscall_vec);
}

static void set_gate(u32 vector, u32 selector, u32 offset, u32 flags)
{
	state->idt[vector] = ((u64)((offset & 0xFFFF0000) | HIGH_P | flags) << 32) | (selector << 16) | (offset & 0xFFFF);
}

static void to_switcher(u32 vector, u32 dpl)
{
	set_gate(vector, HOST_CS, switcher_entries[vector], dpl | TYPE_INTERRUPT);
}

void gates_init(void)
{
	switcher_entries = is_lean() ? lean_entries : classic_entries;
	for (u32 vector = 0; vector < IDT_ENTRIES; vector++)
		to_switcher(vector, 0);
	to_switcher(HYPERCALL_VECTOR, DPL_1);
}

/* May the lean Switcher go to the Guest's page fault handler by itself?  Only as through an interrupt gate. */
void gates_reflect(void)
{
	u64 gate = guest.idt[TRAP_PAGE_FAULT];
	u32 high = gate >> 32;

	state->linear_at = guest.kernel_address;
	state->data_at = guest.data_seen;
	state->reflect_to = 0;
	if (guest.data_seen && guest.directory != LINEAR_MAP && (high & HIGH_P) && (high & HIGH_TYPE) == TYPE_INTERRUPT)
		state->reflect_to = (high & 0xFFFF0000) | (gate & 0xFFFF);
}

void load_idt_entry(u32 entry, u32 low, u32 high)
{
	if (entry == 2 || entry == 8 || entry == 15 || entry == HYPERCALL_VECTOR)
		return;
	if (entry >= IDT_ENTRIES)
		kill_guest("IDT entry %u does not exist", entry);
	if (!(high & HIGH_P)) {
		guest.idt[entry] = 0;
		to_switcher(entry, 0);
		gates_reflect();
		return;
	}
	if ((high & HIGH_TYPE) != TYPE_INTERRUPT && (high & HIGH_TYPE) != TYPE_TRAP)
		kill_guest("IDT entry %u has an unknown type: %#08x %#08x", entry, low, high);
	guest.idt[entry] = ((u64)high << 32) | (GUEST_CS << 16) | (low & 0xFFFF);
	gates_reflect();
	if (is_direct(entry, high))
		set_gate(entry, GUEST_CS, (high & 0xFFFF0000) | (low & 0xFFFF), high & (HIGH_DPL | HIGH_TYPE));
	else
		to_switcher(entry, is_ours(entry) ? 0 : high & HIGH_DPL);
}
