/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 3: a use of the heap, which tells whether demand paging works.  Nothing is to be changed here; the test reads what this prints.
 *
 * Read before: demand.c.
 */
#include "labs/03-demand-paging/lab.h"

#define PAGES      40u
#define STRIDE     101u /* pages from one to the next: they lie in all four page tables of the heap */
#define WORDS      (PAGE_SIZE / sizeof(u32))
#define IN_VAIN    3u /* faults in a row at one address */
#define GATE_INTERRUPT 0x8E00u

/* fault.S calls it.  A handler that says it did what it did not would be called for ever. */
bool handle_fault(u32 address, u32 error)
{
	static u32 last, times;

	times = address == last ? times + 1 : 1;
	last = address;
	if (times > IN_VAIN) {
		print("page_fault() returned true, and this address faults again: ");
		print_hex(address);
		print("\n");
		power_off();
	}
	return page_fault(address, error);
}

static volatile u32 *page(u32 number)
{
	return (u32 *)(HEAP_START + number * STRIDE * PAGE_SIZE);
}

static bool first_use(void)
{
	u32 value;

	return try_read(page(0), &value);
}

static bool all_zero(void)
{
	for (u32 number = 0; number < PAGES; number++) {
		for (u32 word = 0; word < WORDS; word++) {
			u32 value;

			if (!try_read(page(number) + word, &value) || value)
				return false;
		}
	}
	return true;
}

/* Each page keeps what was written to it, whatever was written to others. */
static bool all_their_own(void)
{
	for (u32 number = 0; number < PAGES; number++)
		if (!try_write(page(number) + number, ~number))
			return false;
	for (u32 number = 0; number < PAGES; number++) {
		u32 value;

		if (!try_read(page(number) + number, &value) || value != ~number)
			return false;
	}
	return true;
}

static bool outside_is_refused(void)
{
	u32 value;

	return !try_read((u32 *)(HEAP_START - PAGE_SIZE), &value) && !try_read((u32 *)HEAP_END, &value) &&
	       !try_write((u32 *)0xA0000000u, 1);
}

/* A page of the heap that was made read-only: the fault of a write to it is no demand for a page. */
static bool read_only_is_refused(void)
{
	u32 address = (u32)page(0), *table = (u32 *)(page_directory[address >> PDE_SHIFT] & PTE_FRAME);
	u32 *entry = &table[address / PAGE_SIZE % ENTRIES_PER_TABLE];
	bool refused;

	*entry &= ~PTE_WRITE;
	hypercall(LHCALL_SET_PTE, (u32)page_directory, address, *entry);
	refused = !try_write(page(0), 1);
	*entry |= PTE_WRITE;
	hypercall(LHCALL_SET_PTE, (u32)page_directory, address, *entry);
	return refused;
}

void guest_main(void)
{
	u32 entry = (u32)fault_entry, before;
	bool used;

	paging_init();
	hypercall(LHCALL_LOAD_IDT_ENTRY, 14, GUEST_CS << 16 | (entry & 0xFFFF), (entry & 0xFFFF0000) | GATE_INTERRUPT);
	before = frames_used();
	used = first_use();
	print_answer("a page of the heap can be used", used);
	if (!used)
		return;
	print_answer("a new page is zero", all_zero());
	print_answer("each page is its own", all_their_own());
	print("frames used: ");
	print_number(frames_used() - before);
	print(" for pages: ");
	print_number(PAGES);
	print("\n");
	print_answer("an address outside of the heap is refused", outside_is_refused());
	print_answer("a write to a read-only page is refused", read_only_is_refused());
}
