/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages that hold the Guest's GDT and IDT are write-protected, since both change by plain stores.  Such a page may also
 * hold the stack and the variables of a kernel's decompressor, and a trap for each store to them would be too slow.  Then
 * the write protection is lifted.  Until a store to the tables is seen, the CPU's copy of the GDT has only the descriptors
 * that the Guest's registers hold.  A load of any other one faults, and the descriptor is read from the Guest's memory.
 *
 * One change is seen late: a store to a descriptor that a register holds, while its page is writable.  It takes effect at
 * the next trap.  Therefore a table that was stored to since it was loaded keeps its write protection.
 * Read before: personality.c, segments.c.
 * Next in the book: step.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/base/print.h"
#include "host_kernel/memory/shadow.h"
#include "host_kernel/memory/walk.h"

#define STORES_TO_UNPROTECT 64u /* in a row, to one page, and not to a table */
#define LONGEST_STORE  8u
#define NO_FRAME ~0u

static u32 busy_frame;   /* of the last store to a write-protected page */
static u32 busy_stores;  /* how many stores in a row went to it */
static bool tables_written; /* since they were loaded: they stay write-protected */
static u64 seen[GDT_ENTRIES]; /* the GDT at the last entry with a page unprotected */
static u32 gdt_frame = NO_FRAME; /* of a GDT that is in one page */
static u32 hidden;       /* bit n: entry n of the CPU's GDT is hidden */

/* Update the CPU's GDT and IDT from the Guest's tables. */
void descriptor_tables_sync(void)
{
	hidden = 0;
	gdt_sync();
	idt_sync();
}

/*
 * The same after stores to this part of a page alone, at addresses in "page"; it is mostly one of a GDT. Linux stores at another address than the
 * GDT has for the CPU, so that only the frame says where it is.
 */
void descriptors_changed(u32 page, u32 frame, u32 first, u32 last)
{
	u32 start = native.gdt_base % PAGE_BYTES;

	if (native.page_unprotected || frame != gdt_frame || first < start || last > start + native.gdt_limit) {
		descriptor_tables_sync();
		return;
	}
	first = (first - start) / GDT_ENTRY_BYTES;
	last = (last - start) / GDT_ENTRY_BYTES;
	if (gdt_sync_entries(first, last))
		idt_sync(); /* the system call's gate needs its code segment */
	stores_learn(page, frame, first, last);
}

static u32 frames_of_table(u32 *frames, u32 count, u32 base, u32 limit)
{
	pte_t entry, unused;
	u32 error, pages = (base % PAGE_BYTES + limit) / PAGE_BYTES + 1;

	for (u32 page = 0; page < pages && count < WRITE_PROTECTED_FRAMES; page++) {
		if (!walk(base + page * PAGE_BYTES, 0, &entry, &unused, &error))
			continue;
		if (!native.page_unprotected || native.unprotected_frame != FRAME(entry))
			frames[count++] = FRAME(entry);
	}
	return count;
}

static void write_protect_tables(void)
{
	u32 frames[WRITE_PROTECTED_FRAMES], count = 0;

	if (native.gdt_limit)
		count = frames_of_table(frames, count, native.gdt_base, native.gdt_limit);
	gdt_frame = count == 1 && native.gdt_base % PAGE_BYTES + native.gdt_limit < PAGE_BYTES ? frames[0] : NO_FRAME;
	if (native.idt_limit)
		count = frames_of_table(frames, count, native.idt_base, native.idt_limit % (IDT_ENTRIES * 8));
	write_protect_frames(frames, count);
	descriptor_tables_sync();
}

/* lgdt or lidt: write-protect the pages of the new tables. */
void descriptor_tables_loaded(void)
{
	stores_forget();
	native.page_unprotected = false;
	busy_stores = 0;
	tables_written = false;
	write_protect_tables();
}

static void protect_page(void)
{
	native.page_unprotected = false;
	busy_stores = 0;
	write_protect_tables();
}

static bool is_in(u32 address, u32 base, u32 limit)
{
	return limit && address + LONGEST_STORE - base <= limit + LONGEST_STORE;
}

/* A store to a write-protected page.  True: the protection was lifted, so the store can be retried. */
bool unprotect_busy_page(u32 address, u32 frame)
{
	if (is_in(address, native.gdt_base, native.gdt_limit) || is_in(address, native.idt_base, native.idt_limit))
		tables_written = true;
	if (frame != busy_frame)
		busy_stores = 0;
	busy_frame = frame;
	if (tables_written || ++busy_stores < STORES_TO_UNPROTECT)
		return false;
	stores_forget();
	native.page_unprotected = true;
	native.unprotected_frame = frame;
	write_protect_tables();
	return true;
}

/*
 * A trap while a page is unprotected: the CPU's GDT follows the Guest's again.  True if a hidden descriptor caused the trap:
 * the instruction is retried with the page protected.
 */
bool unprotected_page_trap(u32 vector, u32 error)
{
	u32 was_hidden = hidden, entry = error >> 3;

	descriptor_tables_sync();
	for (u32 each = 0; each < GDT_ENTRIES; each++)
		tables_written |= state->gdt[each] != seen[each];
	if (tables_written)
		protect_page();
	if (vector < TRAP_NOT_PRESENT || vector > TRAP_GENERAL || (error & (SELECTOR_TI | ERROR_IDT)) || entry >= GDT_ENTRIES ||
	    !(was_hidden >> entry & 1))
		return false;
	if (native.page_unprotected)
		protect_page();
	return true;
}

/* Before an entry while a page is unprotected: hide all descriptors that are not in use. */
void unprotected_page_hide(void)
{
	const struct registers *regs = guest.regs;
	const u32 in_use[] = { regs->cs, regs->ss, regs->ds, regs->es, regs->fs, regs->gs };

	memcpy(seen, state->gdt, sizeof(seen));
	hidden = ~(1u << GDT_HOST_CS | 1u << GDT_HOST_DS | 1u << GDT_TSS | 1u << (native.ldt_selector >> 3));
	for (u32 each = 0; each < sizeof(in_use) / sizeof(*in_use); each++)
		if (!(in_use[each] & SELECTOR_TI))
			hidden &= ~(1u << ((in_use[each] & 0xFFFF) >> 3) % GDT_ENTRIES);
	gdt_hide(hidden);
}
