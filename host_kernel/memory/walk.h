/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk of the Guest's page tables.  walk_inline() is walk() for the hot path in fault.c.
 * A device may write to a table during the walk: each entry is read once, and the value read is checked.
 * Read next: walk.c.
 * Next in the book: walk.c.
 */
#ifndef HOST_KERNEL_MEMORY_WALK_H
#define HOST_KERNEL_MEMORY_WALK_H
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/paging.h"

/* Keys of shadow tables without a page table of the Guest, beyond the frames of all its memory: */
#define LINEAR_FRAME 0xFF000u  /* of the linear map, plus the directory index */
#define LARGE_FRAME  0x200000u /* of a large page, plus its number */

#define DIRECTORY_FLAGS 0x67u /* P, RW, US, A, D: other flags are not supported */
#define LINEAR_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A)

bool walk(u32 address, u32 access, pte_t *entry, pte_t *pde, u32 *error);
bool walk_quietly(u32 address, u32 flags, u32 *frame);
void bad_pde(u32 entry, u32 address) __attribute__((noreturn, cold));
void unusual_pte(u32 entry, u32 address) __attribute__((cold));

/* Kill a paravirtualised Guest for an invalid entry. */
static inline void check_pde(pte_t entry, u32 address)
{
	if (guest.strict && ((entry & (PAGE_BYTES - 1) & ~DIRECTORY_FLAGS) || !guest_frame_valid(entry)))
		bad_pde(entry, address);
}

static inline void check_pte(pte_t entry, u32 address)
{
	if (guest.strict && ((entry & PTE_PS) || !guest_frame_valid(entry)))
		unusual_pte(entry, address);
}

static inline bool is_large(pte_t pde)
{
#ifdef PAE
	return pde & PTE_PS;
#else
	return guest.large_pages && (pde & PTE_PS);
#endif
}

/* Are bits set that a CPU with this physical width, and with or without NX, does not accept in a present entry? */
static inline bool is_reserved(pte_t entry)
{
#ifdef PAE
	return entry >> 32 & guest.reserved_high;
#else
	(void)entry;
	return false;
#endif
}

static inline bool is_reserved_pde(pte_t pde)
{
#ifdef PAE
	return is_reserved(pde) || ((pde & PTE_PS) && (pde & (LARGE_BYTES - 1) & ~0x1FFFu)); /* bit 12 is PAT */
#else
	(void)pde;
	return false;
#endif
}

/* The key by which the shadow of a directory entry's page table, or of its large page, is found. */
static inline u32 shadow_table_key(pte_t entry)
{
	return is_large(entry) ? LARGE_FRAME + INDEX(entry_address(entry)) : FRAME(entry);
}

/* The entry for one page of a large page. */
static inline pte_t entry_in_large_page(pte_t pde, u32 address)
{
	u32 flags = pde & (PAGE_BYTES - 1) & ~PTE_PS, base = LARGE_BASE(entry_address(pde));

	if (entry_address(pde) == NOWHERE)
		return NOWHERE | flags | (pde & PTE_NX);
	return base | (address & (LARGE_BYTES - PAGE_BYTES)) | flags | (pde & PTE_NX);
}

/* The address of an entry of a page table or page directory whose frame was checked. */
static inline pte_t *entry_of_guest_table(pte_t table, u32 index)
{
	return (pte_t *)(machine.guest_base + entry_address(table)) + index;
}

/* The entry of a page directory that the Guest's current tables have for an address; NULL: none. */
static inline pte_t *guest_pde_place(u32 address)
{
#ifdef PAE
	u32 directory = guest.pdptes[address >> 30];

	return directory ? entry_of_guest_table(directory, INDEX(address) % ENTRIES) : NULL;
#else
	return entry_of_guest_table(guest.directory, INDEX(address));
#endif
}

/* Set bits in an entry as the CPU does: those in question are in its lower half. */
static inline void set_in_entry(pte_t *place, u32 bits)
{
	*(u32 *)place |= bits;
}

/*
 * Translate an address for an access (FAULT_W, FAULT_US, FAULT_FETCH, as in a page fault's error code), and set the accessed
 * and dirty bits as the CPU would.  True: *entry and *pde_out are the Guest's entries.  False: *error is the error code of the
 * page fault to reflect.
 */
static inline __attribute__((always_inline)) bool walk_inline(u32 address, u32 access, pte_t *entry, pte_t *pde_out,
								u32 *error)
{
	pte_t pde, *place;
	u32 used = PTE_A | (access & FAULT_W ? PTE_D : 0), needed = PTE_P;

	*error = access & ~FAULT_P;
#ifdef PAE
	*error &= ~(FAULT_RESERVED | (guest.nx ? 0 : FAULT_FETCH));
#endif
	/* Linux makes an entry of its own here before it reads reserve_mem: ignore it. */
	if (INDEX(address) >= SWITCHER_INDEX)
		return false;
	if (guest.directory == LINEAR_MAP) {
		if (guest.strict && !guest_frame_valid(address))
			kill_guest("access to %#x, beyond the Guest's memory, before it has page tables", address);
		*pde_out = (LINEAR_FRAME + INDEX(address)) << 12 | LINEAR_FLAGS;
		*entry = (address & ~(PAGE_BYTES - 1)) | LINEAR_FLAGS | PTE_D | PTE_G;
		return true;
	}
	if ((access & FAULT_W) && (guest.write_protect || (access & FAULT_US)))
		needed |= PTE_RW;
	if (access & FAULT_US)
		needed |= PTE_US;
	place = guest_pde_place(address);
#ifdef PAE
	if (!place)
		return false;
#endif
	pde = read_entry(place);
	if (!(pde & PTE_P))
		return false;
	if (is_reserved_pde(pde)) {
		*error |= FAULT_P | FAULT_RESERVED;
		return false;
	}
	check_pde(pde, address);
	if (shadow_table_key(pde) >= LARGE_FRAME) {
		*entry = entry_in_large_page(pde, address);
	} else {
		if (!guest_frame_valid(pde))
			return false;
		if (!(pde & PTE_A)) {
			set_in_entry(place, PTE_A);
			pde |= PTE_A;
		}
		place = entry_of_guest_table(pde, SUBINDEX(address));
		*entry = read_entry(place);
	}
	*pde_out = pde;
	if (!(*entry & PTE_P))
		return false;
	*error |= FAULT_P;
	if (is_reserved(*entry)) {
		*error |= FAULT_RESERVED;
		return false;
	}
	check_pte(*entry, address);
	if (needed & ~((u32)pde & (u32)*entry))
		return false;
#ifdef PAE
	if ((access & FAULT_FETCH) && ((pde | *entry) & PTE_NX))
		return false;
#endif
	if (used & ~(u32)*entry) {
		*entry |= used;
		set_in_entry(place, used);
		if (pde & PTE_PS)
			*pde_out |= used; /* where it is not a large page, these do no harm */
	}
	if ((access & FAULT_W) && !(needed & PTE_RW)) { /* a write that only CR0.WP = 0 allows: the shadow entry is not for ring 3 */
		*pde_out |= PTE_RW;
		*entry = (*entry | PTE_RW) & ~(pte_t)PTE_US;
	}
	return true;
}

#endif
