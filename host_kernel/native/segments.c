/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments of an unmodified kernel.  Its GDT is in its own memory and changes by plain stores: that page is write-protected,
 * and a copy with safe descriptors is in the state page.  Its LDT is copied when it is loaded.
 * Source: Intel SDM vol. 3, 3.4.5, 3.5.  Read next: inject.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/routines.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/fault.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/page_tables.h"

#define HIGH_TYPE_ACCESSED 0x100u
#define HIGH_WRITABLE 0x200u /* data */
#define HIGH_CONFORMING 0x400u /* code */
#define HIGH_CODE     0x800u
#define HIGH_S        0x1000u
#define HIGH_DPL      0x6000u
#define HIGH_DPL_1    0x2000u
#define HIGH_P        0x8000u
#define HIGH_D        0x400000u
#define HIGH_G        0x800000u
#define TYPE_LDT      0x200u
#define TYPE_MASK     0x1F00u

#define BOOT_CS 2 /* the boot protocol: flat segments in entries 2 and 3 */
#define BOOT_DS 3
#define CODE_RING_1 0x00CFBB000000FFFFull
#define DATA_RING_1 0x00CFB3000000FFFFull
#define LDT_ADDRESS (SWITCHER_BASE + 0x10000)
#define LDT_ENTRIES 8192u

static u32 guest_gdt[GDT_ENTRIES][2]; /* the Guest's own descriptors, as of the last sync */
static u64 ldt[LDT_ENTRIES] __attribute__((aligned(PAGE_BYTES)));
static u32 ldt_entries;
static bool ldt_has_code; /* for ring 3 */
static bool descriptors_differ HOT; /* from those for which drop_bad_segments() checked the registers */

static u32 base_of(u32 low, u32 high)
{
	return low >> 16 | (high & 0xFF) << 16 | (high & 0xFF000000);
}

static u32 limit_of(u32 low, u32 high)
{
	u32 limit = (low & 0xFFFF) | (high & 0xF0000);

	return high & HIGH_G ? limit << 12 | 0xFFF : limit;
}

static bool is_user_code(u32 high)
{
	return (high & (HIGH_P | HIGH_S | HIGH_CODE | HIGH_DPL)) == (HIGH_P | HIGH_S | HIGH_CODE | HIGH_DPL);
}

/*
 * A safe copy of a descriptor.  For code and data DPL 0 becomes 1, even if it is not present, so that its load raises the
 * right fault; system descriptors become not present.
 */
static u64 safe(u32 low, u32 high)
{
	if (!(high & HIGH_S))
		return high & HIGH_P ? 0 : (u64)high << 32 | low;
	if (!(high & HIGH_DPL))
		high |= HIGH_DPL_1;
	if (high & HIGH_P)
		high |= HIGH_TYPE_ACCESSED;
	return (u64)high << 32 | low;
}

static void set_both(u32 entry, u64 descriptor)
{
	if (state->gdt_user[entry] == descriptor && (state->gdt[entry] == descriptor || is_user_code(descriptor >> 32)))
		return;
	state->gdt[entry] = descriptor;
	state->gdt_user[entry] = descriptor;
	descriptors_differ = true;
}

void native_segments_init(void)
{
	struct registers *regs = guest.regs;

	map_for_guest(LDT_ADDRESS, ldt, sizeof(ldt));
	set_both(BOOT_CS, CODE_RING_1);
	set_both(BOOT_DS, DATA_RING_1);
	*regs = (struct registers){ .eip = machine.guest_entry, .cs = BOOT_CS * 8 + 1, .eflags = EFLAGS_FIXED,
				    .ds = BOOT_DS * 8, .es = BOOT_DS * 8, .fs = BOOT_DS * 8, .gs = BOOT_DS * 8,
				    .ss = BOOT_DS * 8 + 1, .esi = machine.boot_params, .trapnum = TRAP_NONE };
}

/*
 * Copy entries of the Guest's GDT, as they are now, into the one that the CPU uses.  Returns whether a code segment of ring 1
 * changed.
 */
bool gdt_sync_entries(u32 first, u32 last)
{
	bool code = false;

	if (!native.gdt_limit) /* the one of the boot protocol is still in use */
		return false;
	if (last >= GDT_ENTRIES)
		last = GDT_ENTRIES - 1;
	for (u32 entry = first; entry <= last; entry++)
		guest_gdt[entry][0] = guest_gdt[entry][1] = 0;
	if (last * 8 + 7 > native.gdt_limit || !guest_try_read(guest_gdt[first], native.gdt_base + first * 8, (last - first + 1) * 8))
		for (u32 entry = first; entry <= last && entry * 8 + 7 <= native.gdt_limit; entry++)
			guest_try_read(guest_gdt[entry], native.gdt_base + entry * 8, 8);
	for (u32 entry = first ? first : 1; entry <= last; entry++) {
		u32 low = guest_gdt[entry][0], high = guest_gdt[entry][1];

		if (entry == GDT_HOST_CS || entry == GDT_HOST_DS || entry == GDT_TSS)
			continue;
		if (native.ldt_selector && entry == native.ldt_selector >> 3)
			continue;
		/* The registers may still hold the boot protocol's selectors, which the next entry loads again. */
		if ((entry == BOOT_CS || entry == BOOT_DS) && !(high & HIGH_P))
			continue;
		code |= ((state->gdt[entry] >> 32 | high) & HIGH_CODE) != 0;
		set_both(entry, safe(low, high));
		/* The programs' code is present only while they run, so that the kernel's iret to it faults. */
		if (is_user_code(high))
			state->gdt[entry] &= ~((u64)HIGH_P << 32);
	}
	stores_copied(first, last);
	return code;
}

/* The Guest's own descriptor, as of the last sync. */
u64 guest_descriptor(u32 entry)
{
	return (u64)guest_gdt[entry][1] << 32 | guest_gdt[entry][0];
}

/* Are all of these entries data segments for programs, or not present, and none of them one that this kernel needs? */
bool are_data(u32 first, u32 last)
{
	for (u32 entry = first; entry <= last; entry++) {
		u32 high = entry < GDT_ENTRIES ? guest_gdt[entry][1] : HIGH_P;

		if (!entry || entry == GDT_HOST_CS || entry == GDT_HOST_DS || entry == GDT_TSS || entry == native.ldt_selector >> 3 ||
		    ((high & HIGH_P) && (high & (HIGH_S | HIGH_CODE | HIGH_DPL)) != (HIGH_S | HIGH_DPL)))
			return false;
	}
	return true;
}

void gdt_sync(void)
{
	gdt_sync_entries(1, GDT_ENTRIES - 1);
}

/* Is this a code segment of ring 1 in the GDT that the CPU uses? */
bool is_kernel_code(u16 selector)
{
	u32 entry = selector >> 3, high = entry < GDT_ENTRIES ? state->gdt[entry] >> 32 : 0;

	return !(selector & SELECTOR_TI) && (high & (HIGH_P | HIGH_S | HIGH_CODE | HIGH_CONFORMING)) ==
					     (HIGH_P | HIGH_S | HIGH_CODE) && (high & HIGH_DPL) == HIGH_DPL_1;
}

bool ldt_hides_code(void)
{
	return ldt_has_code;
}

/* Make these entries not present for the CPU. */
void gdt_hide(u32 entries)
{
	for (; entries; entries &= entries - 1)
		set_both(__builtin_ctz(entries), 0);
}

/*
 * Both rings use one LDT, so the Switcher cannot hide its code segments from the kernel's iret: there is no fast path, and
 * each entry makes them present or not, for the ring that is entered.
 */
static void choose_ldt(u32 ring)
{
	state->fast_path = 0;
	descriptors_differ = true;
	for (u32 entry = 0; entry < ldt_entries; entry++)
		if (is_user_code((u32)(ldt[entry] >> 32) | HIGH_P))
			ldt[entry] = ring == 3 ? ldt[entry] | (u64)HIGH_P << 32 : ldt[entry] & ~((u64)HIGH_P << 32);
}

/* For direct system calls of the program that is entered, and for the fast path of iret back to it. */
static void set_program(void)
{
	u32 esp0 = 0, ss0 = 0;

	guest_try_read(&esp0, native.tss_base + TSS_ESP0, 4);
	guest_try_read(&ss0, native.tss_base + TSS_SS0, 2);
	ss0 = (ss0 & ~RPL) | 1;
	descriptors_differ |= ss0 != state->kernel_ss;
	state->guest_tss.esp1 = esp0;
	state->guest_tss.ss1 = state->kernel_ss = ss0;
	state->user_cs = guest.regs->cs;
	state->user_ss = guest.regs->ss;
}

/*
 * Before an entry: for ring 3 user_gdt, and the stack for direct system calls; for ring 1 kernel_gdt.  The fast paths
 * switch between the two.  While the Guest is idle there is no fast path for iret, so that its end is noticed (pit.c).
 */
void choose_gdt(u32 ring)
{
	static bool stack_is_flat HOT;
	u32 unused;
	bool mapped = native.tss_base && (shadow_lookup(native.tss_base + TSS_ESP0, false) ||
					  demand_page(native.tss_base + TSS_ESP0, 0, &unused) == FAULT_FILLED);

	state->guest_gdt = ring == 3 ? state->user_gdt : state->kernel_gdt;
	if (is_lean())
		load_gdt(&state->guest_gdt);
	state->esp0_address = native.tss_base + TSS_ESP0;
	if (mapped && ring == 3)
		set_program();
	if (descriptors_differ)
		stack_is_flat = state->kernel_ss && !segment_base(state->kernel_ss);
	if (ldt_has_code)
		choose_ldt(ring);
	else if (!stack_is_flat || native.page_unprotected)
		state->fast_path = FAST_FLAGS;
	else
		state->fast_path = FAST_FLAGS | FAST_IRET_KERNEL | (mapped && !pit_is_idle() ? FAST_IRET : 0) |
				   (stores_allowed() ? FAST_STORES : 0);
}

void gdt_load(u32 base, u32 limit)
{
	native.gdt_base = base;
	native.gdt_limit = limit;
}

/* The Guest's own descriptor for a selector, from its GDT or from the copy of its LDT. */
bool read_descriptor(u16 selector, u32 *low, u32 *high)
{
	u32 words[2], at = selector & ~7u;

	if (selector & SELECTOR_TI) {
		if (selector >> 3 >= ldt_entries)
			return false;
		*low = ldt[selector >> 3];
		*high = ldt[selector >> 3] >> 32;
		if (is_user_code(*high | HIGH_P)) /* it can be hidden; one that is really not present is stored as 0 */
			*high |= HIGH_P;
		return true;
	}
	if (!native.gdt_limit && (at == BOOT_CS * 8 || at == BOOT_DS * 8)) {
		*low = state->gdt[at / 8];
		*high = state->gdt[at / 8] >> 32;
		return true;
	}
	if (at < sizeof(guest_gdt) && at + 7 <= native.gdt_limit && (guest_gdt[at / 8][1] & HIGH_P)) {
		*low = guest_gdt[at / 8][0];
		*high = guest_gdt[at / 8][1];
		return true;
	}
	if (!at || at + 7 > native.gdt_limit || !guest_try_read(words, native.gdt_base + at, 8))
		return false;
	*low = words[0];
	*high = words[1];
	return true;
}

/* A 32-bit code segment with base 0: decode() can read at eip. */
bool is_flat_code(u16 selector)
{
	u32 low, high;

	return read_descriptor(selector, &low, &high) && !base_of(low, high) && (high & HIGH_D);
}

u32 segment_base(u16 selector)
{
	u32 low, high;

	return read_descriptor(selector, &low, &high) ? base_of(low, high) : 0;
}

/* May this selector be loaded into a data segment register (or ss) by code in this ring (0 and 1 are the same)? */
bool loadable(u16 selector, bool stack, u32 ring)
{
	u32 low, high;

	if (!read_descriptor(selector, &low, &high) || !(high & HIGH_P) || !(high & HIGH_S))
		return false;
	if (!stack)
		return !(high & HIGH_CODE) || (high & HIGH_WRITABLE);
	return !(high & HIGH_CODE) && (high & HIGH_WRITABLE) && (ring == 3) == ((high & HIGH_DPL) == HIGH_DPL);
}

/*
 * A CPU keeps a loaded segment even when its descriptor is removed.  Each entry loads the segments again, which is then not
 * possible: the selector becomes null, and its next use faults.  The same holds for a program's code segment in ds when
 * ring 1 is entered, where it is not present.
 */
static u32 loadable_or_null(u32 selector)
{
	const u64 *gdt = (guest.regs->cs & RPL) == 3 ? state->gdt_user : state->gdt;
	u32 high, entry = (selector & 0xFFFF) >> 3;
	u64 descriptor;

	if (!(selector & 0xFFFC))
		return selector & RPL;
	if (selector & SELECTOR_TI)
		descriptor = entry < ldt_entries ? ldt[entry] : 0;
	else
		descriptor = entry < GDT_ENTRIES ? gdt[entry] : 0;
	high = descriptor >> 32;
	if (!(high & HIGH_P) || !(high & HIGH_S) || ((high & HIGH_CODE) && !(high & HIGH_WRITABLE)))
		return 0;
	return selector;
}

void drop_bad_segments(void)
{
	static u32 checked[4] HOT, ring HOT;
	struct registers *regs = guest.regs;

	if (!descriptors_differ && regs->ds == checked[0] && regs->es == checked[1] && regs->fs == checked[2] &&
	    regs->gs == checked[3] && (regs->cs & RPL) == ring)
		return;
	descriptors_differ = false;
	ring = regs->cs & RPL;
	checked[0] = regs->ds = loadable_or_null(regs->ds);
	checked[1] = regs->es = loadable_or_null(regs->es);
	checked[2] = regs->fs = loadable_or_null(regs->fs);
	checked[3] = regs->gs = loadable_or_null(regs->gs);
}

/* ltr.  The kernel's stack in the TSS changes by plain stores, so it is read whenever it is needed. */
void tss_load(u16 selector)
{
	u32 low, high;

	native.tss_selector = selector;
	native.tss_base = native.tss_limit = 0;
	if (read_descriptor(selector, &low, &high)) {
		native.tss_base = base_of(low, high);
		native.tss_limit = limit_of(low, high);
	}
}

/* Does the I/O bitmap in the Guest's TSS allow these ports?  As the CPU, read two bytes of it. */
bool tss_opens_ports(u16 port, u32 size)
{
	u32 bits = 0, at = 0;

	if (native.tss_limit < TSS_IO_BITMAP + 1 || !guest_try_read(&at, native.tss_base + TSS_IO_BITMAP, 2))
		return false;
	at += port / 8;
	if (at + 1 > native.tss_limit || !guest_try_read(&bits, native.tss_base + at, 2))
		return false;
	return !(bits >> port % 8 & ((1u << size) - 1));
}

/* lldt: copy the table, and load the copy by the same selector of the Guest's GDT. */
void ldt_load(u16 selector)
{
	u32 low = 0, high = 0, base, entry = selector >> 3;

	for (u32 old = 0; old < ldt_entries; old++)
		ldt[old] = 0;
	descriptors_differ = true;
	ldt_entries = 0;
	ldt_has_code = false;
	native.ldt_selector = 0;
	if (entry && entry < GDT_ENTRIES && entry != GDT_HOST_CS && entry != GDT_HOST_DS && entry != GDT_TSS &&
	    read_descriptor(selector, &low, &high) && (high & (TYPE_MASK | HIGH_P)) == (TYPE_LDT | HIGH_P)) {
		base = base_of(low, high);
		ldt_entries = (limit_of(low, high) + 1) / 8;
		if (ldt_entries > LDT_ENTRIES)
			ldt_entries = LDT_ENTRIES;
		for (u32 each = 0; each < ldt_entries; each++) {
			u32 words[2] = { 0, 0 };

			guest_try_read(words, base + each * 8, 8);
			/* Data that is not present keeps its descriptor, to raise #NP; such code would look like hidden code. */
			if ((words[1] & HIGH_P) || !is_user_code(words[1] | HIGH_P))
				ldt[each] = safe(words[0], words[1]);
			ldt_has_code |= is_user_code(words[1]);
		}
		native.ldt_selector = selector & ~7u;
		set_both(entry, (u64)(LDT_ADDRESS >> 24) << 56 | (u64)(TYPE_LDT | HIGH_P) << 32 |
				(u64)(LDT_ADDRESS >> 16 & 0xFF) << 32 | (LDT_ADDRESS & 0xFFFF) << 16 | (sizeof(ldt) - 1));
	}
	load_ldt_register(native.ldt_selector);
}
