/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emulation of control and model-specific registers.  Read before: system.c.  Source: Intel SDM vol. 3, 2.5; vol. 4. */
#include "host_kernel/native/native.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/paging.h"
#include "host_kernel/memory/page_tables.h"

#define CR0_CACHE   0x60000000u /* CD, NW */
#define CR4_KNOWN   0x6DCu /* TSD, DE, PSE, MCE, PGE, OSFXSR, OSXMMEXCPT: all that CPUID reports, but for PAE */
#ifdef PAE
#define OWN_TABLES CR4_PAE
#define CR3_ADDRESS (~31u)
#else
#define OWN_TABLES 0
#define CR3_ADDRESS (~(PAGE_BYTES - 1))
#endif
#define CPUID_7_UMIP 0x4u
#define MSR_TSC      0x10u
#define MSR_APIC_BASE 0x1Bu

struct native native HOT;
static u32 cr4_known, efer_known; /* the bits that the Guest may set */
static bool paging_used;          /* paging was on at some time, */
static bool pge_used;             /* and CR4.PGE */

/* With UMIP, sgdt, sidt, sldt, str and smsw fault in rings 1 and 3, and are emulated (system.c). */
void control_init(void)
{
	if (cpuid_7_ecx() & CPUID_7_UMIP)
		write_cr4(read_cr4() | CR4_UMIP);
	cr4_known = CR4_KNOWN | (read_cr4() & CR4_UMIP) | (cpu_has_pae() ? CR4_PAE : 0);
	efer_known = cpu_has_nx() ? EFER_NXE : 0;
}

u32 read_control(u32 number)
{
	switch (number) {
	case 0:
		return native.cr0;
	case 2:
		return untrusted->guest_cr2;
	case 3:
		return native.cr3;
	default:
		return native.cr4;
	}
}

/*
 * The lean Switcher may reflect page faults of programs when the page directory is where Linux maps it
 * (switcher/native_reflect.h).  With PAE that is the PDPT; a page directory that the Switcher then does not find is absent
 * for it.  A fetch has its bit in the error code only with EFER.NXE, so the Guest must have set it as the Host did.
 */
static inline __attribute__((always_inline)) void allow_reflection(void)
{
	state->native_handler = 0;
	if (guest.directory >= SWITCHER_BASE - NATIVE_KERNEL_HALF ||
	    shadow_lookup(NATIVE_KERNEL_HALF + guest.directory, false) != (u8 *)(machine.guest_base + guest.directory))
		return;
#ifdef PAE
	for (u32 index = 0; index < DIRECTORY_PAGES; index++)
		state->page_directories[index] =
			guest.pdptes[index] ? NATIVE_KERNEL_HALF + entry_address(guest.pdptes[index]) : NOWHERE;
	if (guest.nx != !!efer_known)
		return;
#else
	state->page_directories[0] = NATIVE_KERNEL_HALF + guest.directory;
#endif
	state->native_handler = native.page_fault_handler;
}

void reflect_allow(void)
{
	allow_reflection();
}

static void use_directory(void)
{
	load_page_directory(native.cr0 & CR0_PG ? native.cr3 & CR3_ADDRESS : LINEAR_MAP);
	allow_reflection();
}

/*
 * Paging is on, or about to be, with this CR4: are the Guest's tables of this Host kernel's form?  Where they are not, the
 * Launcher starts the machine again with the other Host kernel.  That is possible before anything was done with paging on.
 */
static void check_form(u32 cr4)
{
	if ((cr4 & CR4_PAE) == OWN_TABLES) {
		paging_used = true;
		return;
	}
	if (paging_used)
		kill_guest("the Guest changed CR4.PAE (to %u) after it had used paging, which is not supported", cr4 / CR4_PAE % 2);
	end_guest(END_OTHER_TABLES, OWN_TABLES ? "page tables without PAE" : "page tables with PAE");
}

/* A write of CR0, CR3 or CR4 that loads the PDPTEs.  False: they are invalid. */
static bool load_pdptes_for_guest(u32 cr3)
{
#ifdef PAE
	return load_pdptes(cr3);
#else
	(void)cr3;
	return true;
#endif
}

static bool write_cr0_for_guest(u32 value)
{
	u32 changed = native.cr0 ^ value;

	if (value & changed & CR0_PG)
		check_form(native.cr4);
	if ((value & CR0_PG) && (changed & (CR0_PG | CR0_CACHE)) && !load_pdptes_for_guest(native.cr3))
		return false;
	native.cr0 = value | CR0_ET;
	guest.ts = value & CR0_TS;
	guest.write_protect = value & CR0_WP;
	if (changed & (CR0_PG | CR0_CACHE))
		use_directory();
	if (changed & CR0_PG)
		flush_all();
	/* Entries that allow writes only because WP was clear: the Guest's tables did not change, so a flush would not look. */
	if (value & changed & CR0_WP) {
		forget_all();
		reflect_allow();
	}
	return true;
}

static bool write_cr4_for_guest(u32 value)
{
	u32 changed = native.cr4 ^ value;

	if (native.cr0 & CR0_PG) {
		check_form(value);
		if ((changed & (CR4_PSE | CR4_PGE)) && !load_pdptes_for_guest(native.cr3))
			return false;
	}
	native.cr4 = value;
	guest.large_pages = value & CR4_PSE;
	guest.global = value & CR4_PGE ? PTE_G : 0;
	pge_used |= value & CR4_PGE;
	if (changed & (CR4_PSE | CR4_PGE)) {
		use_directory();
		flush_all();
	}
	return true;
}

/* Without PAE the bit NXE has no effect. */
static bool write_efer_for_guest(u32 low, u32 high)
{
	if (high || low & ~efer_known)
		return false;
	native.efer = low;
#ifdef PAE
	if (guest.nx != !!(low & EFER_NXE)) {
		guest.nx = low & EFER_NXE;
		guest.reserved_high ^= PTE_NX >> 32;
		forget_all();
		reflect_allow();
	}
#endif
	return true;
}

/* False: the value is invalid, and the Guest gets a general protection fault. */
bool write_control(u32 number, u32 value)
{
	switch (number) {
	case 0:
		if ((value & CR0_PG) && !(value & CR0_PE))
			return false;
		return write_cr0_for_guest(value);
	case 2:
		untrusted->guest_cr2 = value;
		return true;
	case 3:
		if ((native.cr0 & CR0_PG) && !load_pdptes_for_guest(value))
			return false;
		native.cr3 = untrusted->guest_cr3 = value;
		if (native.cr0 & CR0_PG) {
			use_directory();
			if (pge_used && !(native.cr4 & CR4_PGE)) /* entries were global, and are no more */
				flush_all();
		}
		return true;
	case 4:
		return !(value & ~cr4_known) && write_cr4_for_guest(value);
	default:
		return false;
	}
}

/* MSRs that read as zero and ignore writes; all others fault, as on a CPU without them. */
static bool is_ignored_msr(u32 number)
{
	static const u32 list[] = {
		MSR_TSC, /* writes only */
		0x17,  /* platform identifier */
		0x2A,  /* bus clock configuration */
		0x79,  /* microcode update */
		0x8B,  /* microcode revision */
		0x119, /* processor serial number control */
		0x174, 0x175, 0x176, /* sysenter: hidden by CPUID */
		0x1A0, /* miscellaneous features */
		0x1D9, /* debug control */
	};

	for (u32 index = 0; index < sizeof(list) / sizeof(*list); index++)
		if (list[index] == number)
			return true;
	return false;
}

bool read_msr(u32 number, u32 *low, u32 *high)
{
	u64 now;

	if (number == MSR_APIC_BASE) {
		*low = local_apic_base();
		*high = 0;
		return true;
	}
	if (number == MSR_EFER && efer_known) {
		*low = native.efer;
		*high = 0;
		return true;
	}
	if (!is_ignored_msr(number))
		return false;
	now = number == MSR_TSC ? rdtsc() : 0;
	*low = now;
	*high = now >> 32;
	return true;
}

bool write_msr(u32 number, u32 low, u32 high)
{
	if (number == MSR_APIC_BASE)
		return local_apic_set_base(low, high);
	if (number == MSR_EFER && efer_known)
		return write_efer_for_guest(low, high);
	return is_ignored_msr(number);
}
