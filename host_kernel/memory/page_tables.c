/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging operations for hypercalls and emulated instructions; and the Host kernel's own page directory.
 *
 * Read before: walk.c, shadow.c, directories.c.
 * Next in the book: host_kernel/pci/pci.h.
 */
#include "host_kernel/memory/page_tables.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/print.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/directories.h"
#include "host_kernel/memory/fault.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/walk.h"

static pte_t host_directory[DIRECTORY_ENTRIES] __attribute__((aligned(PAGE_BYTES)));
static pte_t host_switcher_table[ENTRIES] __attribute__((aligned(PAGE_BYTES)));
static pte_t guest_switcher_table[ENTRIES] __attribute__((aligned(PAGE_BYTES)));
#ifdef PAE
static u64 host_pdpt[DIRECTORY_PAGES] __attribute__((aligned(32)));
#endif
static u8 stack_page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
static u8 state_page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
_Static_assert(sizeof(struct lguest_state) <= PAGE_BYTES, "the state is one page");

extern u8 switcher_load[], image_end[];

/*
 * Turn on paging with the Host's tables.  With PAE, 2 MiB of the Switcher's 4 stay without a table: all of its pages are in
 * the first half.
 */
static void paging_on(void)
{
#ifdef PAE
	for (u32 page = 0; page < DIRECTORY_PAGES; page++)
		host_pdpt[page] = (u32)(host_directory + page * ENTRIES) | PTE_P;
	write_cr4(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	if (cpu_has_nx())
		write_efer(EFER_NXE);
	write_cr3((u32)host_pdpt);
#else
	write_cr4(CR4_PSE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	write_cr3((u32)host_directory);
#endif
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

/*
 * The Host kernel is identity-mapped in large pages; devices are above memory, uncached.  The Switcher's 4 MiB are the same
 * in both worlds, except that the state page is read-only for the Guest.
 */
void page_tables_init(void)
{
	pte_t switcher[DIRECTORY_ENTRIES - SWITCHER_INDEX] = { (u32)guest_switcher_table | PTE_P | PTE_RW | PTE_A };

	for (u32 index = 0; index < SWITCHER_INDEX; index++)
		host_directory[index] = (index << LARGE_SHIFT) | PTE_P | PTE_RW | PTE_PS | PTE_A | PTE_D |
					((index << LARGE_SHIFT) >= machine.memory_bytes ? PTE_PCD : 0);
	host_directory[SWITCHER_INDEX] = (u32)host_switcher_table | PTE_P | PTE_RW | PTE_A;
	guest_switcher_table[SUBINDEX(SWITCHER_BASE)] = (u32)(switcher_load + (is_lean() ? PAGE_BYTES : 0)) | PTE_P | PTE_A;
	guest_switcher_table[SUBINDEX(SWITCHER_STACK_PAGE)] = (u32)stack_page | PTE_P | PTE_RW | PTE_A | PTE_D;
	guest_switcher_table[SUBINDEX(SWITCHER_STATE_PAGE)] = (u32)state_page | PTE_P | PTE_A | PTE_D;
	memcpy(host_switcher_table, guest_switcher_table, sizeof(host_switcher_table));
	host_switcher_table[SUBINDEX(SWITCHER_STATE_PAGE)] |= PTE_RW;

	paging_on();
	if (pool_init((u32)image_end) < 2048)
		host_failed("the Host area (%#x bytes) is too small", machine.guest_base);
	invalidate_set_pte_cache();
	shadow_directories_init(switcher);
#ifdef PAE
	guest.reserved_high = ~0u << (cpu_physical_bits() - 32);
#endif
	guest.regs = (struct registers *)(SWITCHER_STACK_PAGE + PAGE_BYTES) - 1;
	guest.directory = LINEAR_MAP;
	mailbox->frame_at = (u32)stack_page + PAGE_BYTES - sizeof(struct registers);
	mailbox->directory_at = (u32)&guest.directory;
	mailbox->state_at = (u32)state_page;
	guest.limit = machine.guest_bytes + machine.device_pages * PAGE_BYTES;
	shadow_directory_enter(LINEAR_MAP);
}

/* Map pages of the Host kernel into the Switcher's 4 MiB, read-only in both worlds. */
void map_for_guest(u32 address, const void *pages, u32 bytes)
{
	for (u32 offset = 0; offset < bytes; offset += PAGE_BYTES) {
		pte_t entry = ((u32)pages + offset) | PTE_P | PTE_A;

		guest_switcher_table[SUBINDEX(address + offset)] = entry;
		host_switcher_table[SUBINDEX(address + offset)] = entry;
	}
}

/*
 * The pages of lguest_data, which the Host kernel writes to as well: a page table there always counts as dirty.  The lean
 * Switcher has them mapped; the Guest may write to them anyway.  Returns the address there, or 0.
 */
u32 map_lguest_data(u32 address)
{
	for (u32 page = 0; page < 2; page++) {
		u32 frame = (address & ~(PAGE_BYTES - 1)) + page * PAGE_BYTES;

		if (!guest_range(frame, PAGE_BYTES))
			continue;
		writers[FRAME(frame)] += 2;
		if (is_lean())
			guest_switcher_table[SUBINDEX(SWITCHER_DATA_PAGE) + page] =
				(machine.guest_base + frame) | PTE_P | PTE_RW | PTE_A | PTE_D;
	}
	return is_lean() ? SWITCHER_DATA_PAGE + address % PAGE_BYTES : 0;
}

/*
 * Map the page of a native Guest's GDT for the Switcher, writable: the Guest may write to it anyway, but then the Host kernel
 * does not see it.
 */
void map_gdt_page(u32 frame)
{
	guest_switcher_table[SUBINDEX(SWITCHER_DATA_PAGE)] = (machine.guest_base + (frame << 12)) | PTE_P | PTE_RW | PTE_A | PTE_D;
	writers[frame] += 2; /* a page table in this frame always counts as dirty */
}

void unmap_gdt_page(u32 frame)
{
	guest_switcher_table[SUBINDEX(SWITCHER_DATA_PAGE)] = 0;
	writers[frame] -= 2;
}

#ifdef PAE
#define PDPTE_RESERVED 0x1E6u /* of the lower half */

/*
 * Read the four entries of a PDPT, which stay in use until the next load.  False: a reserved bit is set in one, and nothing
 * changed.  Source: Intel SDM vol. 3, 4.4.1.
 */
bool load_pdptes(u32 pdpt)
{
	u32 found[4] = { 0 };

	if (!guest_range(pdpt & ~31u, 32))
		kill_guest("CR3 %#x is beyond the Guest's memory", pdpt);
	for (u32 index = 0; index < 4; index++) {
		pte_t entry = read_entry(entry_of_guest_table(pdpt, (pdpt & 0xFE0) / 8 + index));

		if (!(entry & PTE_P))
			continue;
		if ((entry & PDPTE_RESERVED) || (entry >> 32 & (guest.reserved_high | 0x80000000)))
			return false;
		if (guest_frame_valid(entry))
			found[index] = entry_address(entry) | PTE_P;
	}
	memcpy(guest.pdptes, found, sizeof(found));
	return true;
}
#endif

/*
 * A CR3 load: the address of a directory (with PAE, of a PDPT whose entries were loaded), or LINEAR_MAP while paging is off.
 * Flushes what is not global.
 */
void load_page_directory(u32 directory)
{
	if (directory != LINEAR_MAP && !guest_range(directory, PAGE_BYTES))
		kill_guest("CR3 %#x is beyond the Guest's memory", directory);
	guest.directory = directory;
	shadow_directory_enter(directory);
	shadow_directory_sync_local(shadow_directory_current());
}

/* INVLPG. */
void flush_address(u32 address)
{
	struct shadow_directory *directory = shadow_directory_current();
	pte_t *linked = directory_entry(directory, INDEX(address));

	if (INDEX(address) >= SWITCHER_INDEX || directory->guest == LINEAR_MAP)
		return;
	shadow_directory_sync_one(directory, INDEX(address));
	if (*linked)
		shadow_table_sync_one(page_of(*linked), SUBINDEX(address));
}

/* Lift or restore the write protection of one page in the current directory. */
void shadow_allow_write(u32 address, bool allow)
{
	pte_t *linked = directory_entry(shadow_directory_current(), INDEX(address));
	pte_t *entry;

	if (!*linked)
		return;
	entry = page_entries(page_of(*linked)) + SUBINDEX(address);
	if (*entry)
		set_shadow_pte(entry, allow ? *entry | PTE_RW : *entry & ~(pte_t)PTE_RW);
}

#ifndef PAE /* the hypercalls of the lguest personality */
/* The shadow of the page table for address in a directory of the Guest; 0: none. */
static u16 table_of(u32 directory, u32 address)
{
	struct shadow_directory *cached = shadow_directory_find(directory);
	pte_t pde;

	if (directory % PAGE_BYTES || !guest_range(directory, PAGE_BYTES))
		kill_guest("bad page directory address %#x", directory);
	if (cached)
		shadow_directory_sync_one(cached, INDEX(address));
	pde = read_entry(entry_of_guest_table(directory, INDEX(address)));
	if (!(pde & PTE_P))
		return 0;
	check_pde(pde, address);
	return shadow_table_find(shadow_table_key(pde));
}

static bool set_pte_cache_hits(u32 directory, u32 address)
{
	return __builtin_expect(set_pte_cache.directory == directory && set_pte_cache.index == INDEX(address), 1);
}

static void __attribute__((noinline)) OFTEN find_table(u32 directory, u32 address)
{
	struct set_pte_cache_entry last = set_pte_cache;

	set_pte_cache = set_pte_cache_second;
	set_pte_cache_second = last;
	if (set_pte_cache_hits(directory, address))
		return;
	set_pte_cache.table = table_of(directory, address);
	set_pte_cache.guest_table = set_pte_cache.table ? guest_table_of(set_pte_cache.table) : NULL;
	set_pte_cache.directory = directory;
	set_pte_cache.index = INDEX(address);
}

/*
 * SET_PTE: the Guest changed the entry for address in one of its directories.  The shadow follows the entry in the Guest's
 * table; the value of the call is only checked.
 */
void OFTEN set_pte(u32 directory, u32 address, u32 value)
{
	u32 entry;

	if (value & PTE_P)
		check_pte(value, address);
	if (!set_pte_cache_hits(directory, address)) {
		if (INDEX(address) == SWITCHER_INDEX) {
			if (value & PTE_P)
				kill_guest("page table entry %#x set for %#x, which is the Switcher's", value, address);
			return;
		}
		find_table(directory, address);
	}
	if (!set_pte_cache.guest_table)
		return;
	entry = read_once(&set_pte_cache.guest_table[SUBINDEX(address)]);
	if ((entry & PTE_P) && entry != value)
		check_pte(entry, address);
	shadow_table_map(set_pte_cache.table, SUBINDEX(address), entry);
}

/* SET_PGD: the Guest changed an entry of a directory. */
void set_pgd(u32 directory, u32 index)
{
	struct shadow_directory *cached = shadow_directory_find(directory);

	if (index >= ENTRIES || directory % PAGE_BYTES || !guest_range(directory, PAGE_BYTES))
		kill_guest("bad page directory entry number %u of directory %#x", index, directory);
	invalidate_set_pte_cache();
	if (index == SWITCHER_INDEX) {
		if (read_entry(entry_of_guest_table(directory, index)) & PTE_P)
			kill_guest("page directory entry set for the Switcher's addresses in directory %#x", directory);
	} else if (cached) {
		shadow_directory_sync_one(cached, index);
	}
}

/* FLUSH_TLB(0): the user part of the current directory. */
void flush_user(void)
{
	shadow_directory_sync_below(shadow_directory_current(), guest.kernel_address);
}

#endif /* PAE */

/* FLUSH_TLB(1): everything. */
void flush_all(void)
{
	if (!++flushes) {
		flushes_wrapped();
		shadow_directories_all_stale();
	}
	shadow_directory_sync_stale(shadow_directory_current());
}

/* What an entry means has changed: forget all that was made of the Guest's tables. */
void forget_all(void)
{
	shadow_directories_clear();
}

#ifndef PAE
/* Map the pages of a kernel stack: the CPU itself pushes to it on a direct system call. */
void pin_stack(u32 top, u32 pages)
{
	for (u32 page = 1; page <= pages; page++) {
		u32 error;

		if (!shadow_lookup(top - page * PAGE_BYTES, true) &&
		    demand_page(top - page * PAGE_BYTES, FAULT_W, &error) != FAULT_FILLED)
			kill_guest("the kernel stack at %#x is not mapped", top - page * PAGE_BYTES);
	}
}
#endif
