/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's IDT twice: as the Guest loaded it (guest.idt, for injection), and the one that the CPU uses, in which most
 * gates lead to the Switcher.  Source: Intel SDM vol. 3, 6.11.
 * Read next: inject.c.
 * Next in the book: inject.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/descriptor.h"
#include "host_kernel/base/end.h"
#include "host_kernel/machine/tables.h"

#define HIGH_TYPE  0x1F00u

static bool is_host_vector(u32 vector)
{
	return vector == VECTOR_TIMER || vector == VECTOR_DOORBELL || vector == VECTOR_SPURIOUS;
}

/*
 * May the CPU use the Guest's gate directly?  Only a trap gate: an interrupt gate must also clear the virtual interrupt
 * flag.  And only a vector that the Guest raises by an instruction: otherwise a fault of the Switcher would become a double
 * fault, and an interrupt of the machine would be lost.
 */
static bool is_direct(u32 vector, u32 high)
{
	if ((high & HIGH_TYPE) != TYPE_TRAP || is_host_vector(vector))
		return false;
	return vector == 3 || vector == 4 || (vector >= FIRST_IRQ_VECTOR && guest.data && vector == guest.syscall_vec);
}

/* Tell the lean Switcher where it may reflect page faults to: only the handler of an interrupt gate. */
void gates_reflect(void)
{
	u64 gate = guest.idt[TRAP_PAGE_FAULT];
	u32 high = gate >> 32;

	state->linear_map = guest.kernel_address;
	state->lguest_data = guest.lguest_data_mapped;
	state->page_fault_handler = 0;
	if (guest.lguest_data_mapped && guest.directory != LINEAR_MAP && (high & HIGH_P) && (high & HIGH_TYPE) == TYPE_INTERRUPT)
		state->page_fault_handler = (high & 0xFFFF0000) | (gate & 0xFFFF);
}

void gates_init(void)
{
	guest_idt_to_switcher(HYPERCALL_VECTOR, DPL_1);
}

/*
 * Where the Switcher expects an error code no instruction may lead, because it would push none: an int of such a number is a
 * general protection fault.
 */
void load_idt_entry(u32 entry, u32 low, u32 high)
{
	if (entry == 2 || entry == 8 || entry == 15 || entry == HYPERCALL_VECTOR)
		return;
	if (entry >= IDT_ENTRIES)
		kill_guest("IDT entry %u does not exist", entry);
	if (!(high & HIGH_P)) {
		guest.idt[entry] = 0;
		guest_idt_to_switcher(entry, 0);
		gates_reflect();
		return;
	}
	if ((high & HIGH_TYPE) != TYPE_INTERRUPT && (high & HIGH_TYPE) != TYPE_TRAP)
		kill_guest("IDT entry %u has an unknown type: %#08x %#08x", entry, low, high);
	guest.idt[entry] = ((u64)high << 32) | (GUEST_CS << 16) | (low & 0xFFFF);
	gates_reflect();
	if (is_direct(entry, high))
		guest_idt_set(entry, GUEST_CS, (high & 0xFFFF0000) | (low & 0xFFFF), high & (HIGH_DPL | HIGH_TYPE));
	else
		guest_idt_to_switcher(entry, is_host_vector(entry) || pushes_error(entry) ? 0 : high & HIGH_DPL);
}
