/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments of an unmodified kernel: what its selectors mean, its TSS, and its LDT, which is copied when it is loaded.
 * Source: Intel SDM vol. 3, 3.4.5, 3.5.  Read before: gdt.c.  Read next: inject.c.
 * Next in the book: write_protect.c.
 */
#include "host_kernel/native/descriptors.h"
#include "host_kernel/native/native.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/end.h"
#include "host_kernel/machine/tables.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/second_return.h"
#include "host_kernel/memory/fault.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/page_tables.h"

#define TYPE_LDT      0x200u
#define TYPE_MASK     0x1F00u

#define CODE_RING_1 0x00CFBB000000FFFFull
#define DATA_RING_1 0x00CFB3000000FFFFull
#define LDT_ADDRESS (SWITCHER_BASE + 0x10000)
#define LDT_ENTRIES 8192u

static u64 ldt[LDT_ENTRIES] __attribute__((aligned(PAGE_BYTES)));
static u32 ldt_entries;
static bool ldt_has_code HOT; /* for ring 3 */
static bool ldt_is_special HOT; /* it has code, or a stack of 16 bits */
static u32 ldt_absent[LDT_ENTRIES / 32]; /* bits: such code that is really not present, and not hidden */

static u32 base_of(u32 low, u32 high)
{
	return low >> 16 | (high & 0xFF) << 16 | (high & 0xFF000000);
}

void native_segments_init(void)
{
	struct registers *regs = guest.regs;

	map_for_guest(LDT_ADDRESS, ldt, sizeof(ldt));
	gdt_set(BOOT_CS, CODE_RING_1);
	gdt_set(BOOT_DS, DATA_RING_1);
	*regs = (struct registers){ .eip = machine.guest_entry, .cs = BOOT_CS * 8 + 1, .eflags = EFLAGS_FIXED,
				    .ds = BOOT_DS * 8, .es = BOOT_DS * 8, .fs = BOOT_DS * 8, .gs = BOOT_DS * 8,
				    .ss = BOOT_DS * 8 + 1, .esi = machine.boot_params, .trapnum = TRAP_NONE };
}

static bool is_hideable(u32 entry)
{
	return is_user_code((u32)(ldt[entry] >> 32) | HIGH_P) && !(ldt_absent[entry / 32] >> entry % 32 & 1);
}

bool ldt_special(void)
{
	return ldt_is_special;
}

bool ldt_hides_code(void)
{
	return ldt_has_code;
}

/* Data that can be a program's stack, of which only sp is used. */
static bool is_16_bit_stack(u32 high)
{
	return (high & (HIGH_P | HIGH_S | HIGH_CODE | HIGH_WRITABLE | HIGH_DPL | HIGH_D)) == (HIGH_P | HIGH_S | HIGH_WRITABLE | HIGH_DPL);
}

/* Is the program that is entered on a 16-bit stack?  Its segments are checked: the return to it cannot fault. */
static bool needs_whole_esp(void)
{
	const struct registers *regs = guest.regs;
	u32 ss = regs->ss & 0xFFFF, cs = regs->cs & 0xFFFF;
	u64 code;

	if ((ss & 7) != 7 || ss >> 3 >= ldt_entries || !is_16_bit_stack(ldt[ss >> 3] >> 32))
		return false;
	if (cs & SELECTOR_TI)
		code = cs >> 3 < ldt_entries ? ldt[cs >> 3] : 0;
	else
		code = cs >> 3 < GDT_ENTRIES ? state->gdt_user[cs >> 3] : 0;
	return is_user_code(code >> 32) && regs->eip <= segment_limit(code, code >> 32);
}

/*
 * Both rings use one LDT, so the Switcher cannot hide its code segments from the kernel's iret: there is no fast path, and
 * each entry makes them present or not, for the ring that is entered.
 */
static void choose_ldt(u32 ring)
{
	no_fast_paths();
	native.descriptors_differ = true;
	for (u32 entry = 0; ldt_has_code && entry < ldt_entries; entry++)
		if (is_hideable(entry))
			ldt[entry] = ring == 3 ? ldt[entry] | (u64)HIGH_P << 32 : ldt[entry] & ~((u64)HIGH_P << 32);
	second_return(RETURN_STACK_16, ring == 3 && needs_whole_esp());
}

/* For direct system calls of the program that is entered, and for the fast path of iret back to it. */
#define FRAME_OF_PROGRAM 20 /* what a trap from ring 3 without an error code pushes */
static u32 iret_ss HOT; /* kernel_ss where that is in one page */

static void set_program(void)
{
	u32 esp0 = 0, ss0 = 0;

	guest_try_read(&esp0, native.tss_base + TSS_ESP0, 4);
	guest_try_read(&ss0, native.tss_base + TSS_SS0, 2);
	ss0 = (ss0 & ~RPL) | 1;
	native.descriptors_differ |= ss0 != state->kernel_ss;
	state->guest_tss.esp1 = esp0;
	state->guest_tss.ss1 = state->kernel_ss = ss0;
	state->user_cs = guest.regs->cs;
	state->user_ss = guest.regs->ss;
	iret_ss = (esp0 - FRAME_OF_PROGRAM) / PAGE_BYTES == (esp0 - 1) / PAGE_BYTES ? ss0 : 0;
}

/* Is this code segment, as the CPU has it, one of 32 bits with base 0? */
static bool runs_flat(u32 cs)
{
	u32 entry = (cs & 0xFFFF) >> 3;
	u64 descriptor = cs & SELECTOR_TI ? ldt[entry] : state->gdt[entry % GDT_ENTRIES];

	return !base_of(descriptor, descriptor >> 32) && (descriptor >> 32 & HIGH_D);
}

/* The kernel's code segment is another one: instructions that trap are read at eip, so it must be flat. */
void __attribute__((noinline, cold)) kernel_code_changed(void)
{
	const struct registers *regs = guest.regs;

	if (!runs_flat(regs->cs))
		kill_guest("the kernel runs in code segment %#x (eip %#x), which has a base or 16 bits: that is not supported",
			   regs->cs & 0xFFFF, regs->eip);
	state->flat_cs = regs->cs;
}

/* A system call arrives with user_gdt. */
void choose_kernel_gdt(void)
{
	if (is_lean())
		load_gdt(&state->kernel_gdt);
	else
		state->guest_gdt = state->kernel_gdt;
}

/*
 * Before an entry: for ring 3 user_gdt, and the stack for direct system calls; for ring 1 kernel_gdt.  The fast paths
 * switch between the two.  While the Guest is idle there is no fast path for iret, so that its end is noticed (pit.c), nor
 * while an interrupt is pending.
 */
void choose_gdt(u32 ring)
{
	static bool stack_is_flat HOT;
	u32 unused, stack = 0;
	bool mapped = native.tss_base && (shadow_lookup(native.tss_base + TSS_ESP0, false) ||
					  demand_page(native.tss_base + TSS_ESP0, 0, &unused) == FAULT_FILLED);

	if (is_lean())
		load_gdt(ring == 3 ? &state->user_gdt : &state->kernel_gdt);
	else
		state->guest_gdt = ring == 3 ? state->user_gdt : state->kernel_gdt;
	state->esp0_address = native.tss_base + TSS_ESP0;
	if (native.descriptors_differ && !runs_flat(state->flat_cs))
		state->flat_cs = 0;
	if (ring != 3)
		state->kernel_cs = state->flat_cs & native.kernel_cs_mask;
	else if (mapped)
		set_program();
	if (native.descriptors_differ)
		stack_is_flat = state->kernel_ss && !segment_base(state->kernel_ss);
	if (ldt_is_special) {
		choose_ldt(ring);
	} else if (!stack_is_flat || native.page_unprotected) {
		state->fast_path = native.fast_popf;
	} else {
		state->fast_path = native.fast_popf | FAST_IRET_KERNEL | FAST_REFLECT | (stores_allowed() ? FAST_STORES : 0);
		if (mapped && !state->interrupt_pending && !guest_is_idle())
			stack = iret_ss;
	}
	state->iret_ss = stack;
	untrusted->iret_ss = untrusted->stale ? 0 : stack;
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
		if (is_hideable(selector >> 3))
			*high |= HIGH_P;
		return true;
	}
	if (!native.gdt_limit && (at == BOOT_CS * 8 || at == BOOT_DS * 8)) {
		*low = state->gdt[at / 8];
		*high = state->gdt[at / 8] >> 32;
		return true;
	}
	if (at / 8 < GDT_ENTRIES && at + 7 <= native.gdt_limit) {
		*low = guest_descriptor(at / 8);
		*high = guest_descriptor(at / 8) >> 32;
		if (*high & HIGH_P)
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

static u32 checked[4] HOT, checked_ring HOT;

static void __attribute__((noinline)) check_segments(void)
{
	struct registers *regs = guest.regs;

	native.descriptors_differ = false;
	checked_ring = regs->cs & RPL;
	checked[0] = regs->ds = loadable_or_null(regs->ds);
	checked[1] = regs->es = loadable_or_null(regs->es);
	checked[2] = regs->fs = loadable_or_null(regs->fs);
	checked[3] = regs->gs = loadable_or_null(regs->gs);
}

void drop_bad_segments(void)
{
	const struct registers *regs = guest.regs;

	if ((regs->ds ^ checked[0]) | (regs->es ^ checked[1]) | (regs->fs ^ checked[2]) | (regs->gs ^ checked[3]) |
	    ((regs->cs & RPL) ^ checked_ring) | native.descriptors_differ)
		check_segments();
}

/* ltr.  The kernel's stack in the TSS changes by plain stores, so it is read whenever it is needed. */
void tss_load(u16 selector)
{
	u32 low, high;

	native.tss_selector = selector;
	native.tss_base = native.tss_limit = 0;
	if (read_descriptor(selector, &low, &high)) {
		native.tss_base = base_of(low, high);
		native.tss_limit = segment_limit(low, high);
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
		ldt[old] = ldt_absent[old / 32] = 0;
	native.descriptors_differ = true;
	ldt_entries = 0;
	ldt_has_code = ldt_is_special = false;
	second_return(RETURN_STACK_16, false);
	native.ldt_selector = 0;
	if (entry && entry < GDT_ENTRIES && entry != GDT_HOST_CS && entry != GDT_HOST_DS && entry != GDT_TSS &&
	    read_descriptor(selector, &low, &high) && (high & (TYPE_MASK | HIGH_P)) == (TYPE_LDT | HIGH_P)) {
		base = base_of(low, high);
		ldt_entries = (segment_limit(low, high) + 1) / 8;
		if (ldt_entries > LDT_ENTRIES)
			ldt_entries = LDT_ENTRIES;
		for (u32 each = 0; each < ldt_entries; each++) {
			u32 words[2] = { 0, 0 };

			guest_try_read(words, base + each * 8, 8);
			ldt[each] = safe_descriptor(words[0], words[1]);
			ldt_is_special |= is_user_code(words[1]) || is_16_bit_stack(words[1]);
			if (is_user_code(words[1]))
				ldt_has_code = true;
			else if (is_user_code(words[1] | HIGH_P))
				ldt_absent[each / 32] |= 1u << each % 32;
		}
		native.ldt_selector = selector & ~7u;
		gdt_set(entry, (u64)(LDT_ADDRESS >> 24) << 56 | (u64)(TYPE_LDT | HIGH_P) << 32 |
				(u64)(LDT_ADDRESS >> 16 & 0xFF) << 32 | (LDT_ADDRESS & 0xFFFF) << 16 | (sizeof(ldt) - 1));
	}
	tables_load_ldt(native.ldt_selector);
}
