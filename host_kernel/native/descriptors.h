/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the native personality makes of segment descriptors.  Read before: host_kernel/base/descriptor.h.  Read next: gdt.c. */
#ifndef HOST_KERNEL_NATIVE_DESCRIPTORS_H
#define HOST_KERNEL_NATIVE_DESCRIPTORS_H
#include <stdbool.h>
#include "host_kernel/base/descriptor.h"

#define BOOT_CS 2 /* the boot protocol: flat segments in entries 2 and 3 */
#define BOOT_DS 3

static inline u32 segment_limit(u32 low, u32 high)
{
	u32 limit = (low & 0xFFFF) | (high & 0xF0000);

	return high & HIGH_G ? limit << 12 | 0xFFF : limit;
}

static inline bool is_user_code(u32 high)
{
	return (high & (HIGH_P | HIGH_S | HIGH_CODE | HIGH_DPL)) == (HIGH_P | HIGH_S | HIGH_CODE | HIGH_DPL);
}

/*
 * A safe copy of a descriptor.  For code and data DPL 0 becomes 1, even if it is not present, so that its load raises the
 * right fault; system descriptors become not present.
 */
static inline u64 safe_descriptor(u32 low, u32 high)
{
	if (!(high & HIGH_S))
		return high & HIGH_P ? 0 : (u64)high << 32 | low;
	if (!(high & HIGH_DPL))
		high |= HIGH_DPL_1;
	if (high & HIGH_P)
		high |= HIGH_ACCESSED;
	return (u64)high << 32 | low;
}

#endif
