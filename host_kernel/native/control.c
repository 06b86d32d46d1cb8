/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emulation of control and model-specific registers.  Read before: system.c.  Source: Intel SDM vol. 3, 2.5; vol. 4. */
#include "host_kernel/native/native.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/page_tables.h"

#define CR4_PSE_BIT 0x10u
#define CR4_KNOWN   0x6DCu /* TSD, DE, PSE, MCE, PGE, OSFXSR, OSXMMEXCPT: all that CPUID reports */
#define CPUID_7_UMIP 0x4u
#define MSR_TSC      0x10u
#define MSR_APIC_BASE 0x1Bu

struct native native HOT;

/* With UMIP, sgdt, sidt, sldt, str and smsw fault in rings 1 and 3, and are emulated (system.c). */
void control_init(void)
{
	if (cpuid_7_ecx() & CPUID_7_UMIP)
		write_cr4(read_cr4() | CR4_UMIP);
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

static void use_directory(void)
{
	load_page_directory(native.cr0 & CR0_PG ? native.cr3 & ~(PAGE_BYTES - 1) : LINEAR_MAP);
	reflect_allow();
}

static void write_cr0_for_guest(u32 value)
{
	u32 changed = native.cr0 ^ value;

	native.cr0 = value | CR0_ET;
	guest.ts = value & CR0_TS;
	guest.write_protect = value & CR0_WP;
	if (changed & CR0_PG)
		use_directory();
	if (changed & (CR0_WP | CR0_PG))
		flush_all();
}

static void write_cr4_for_guest(u32 value)
{
	u32 changed = native.cr4 ^ value;

	native.cr4 = value;
	guest.large_pages = value & CR4_PSE_BIT;
	if (changed & (CR4_PSE_BIT | CR4_PGE))
		flush_all();
}

/* False: the value is invalid, and the Guest gets a general protection fault. */
bool write_control(u32 number, u32 value)
{
	switch (number) {
	case 0:
		if ((value & CR0_PG) && !(value & CR0_PE))
			return false;
		write_cr0_for_guest(value);
		return true;
	case 2:
		untrusted->guest_cr2 = value;
		return true;
	case 3:
		native.cr3 = value;
		if (native.cr0 & CR0_PG)
			use_directory();
		return true;
	case 4:
		if (value & ~(CR4_KNOWN | (read_cr4() & CR4_UMIP)))
			return false;
		write_cr4_for_guest(value);
		return true;
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
	return is_ignored_msr(number);
}
