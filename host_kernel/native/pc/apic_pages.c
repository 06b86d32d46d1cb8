/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages with the registers of the local APIC and the I/O APIC.  Only aligned accesses of 32 bits reach a register:
 * others read as zero and write nothing.  Read next: local_apic.c, io_apic.c.
 */
#include "host_kernel/native/pc/pc.h"

#define PAGE (~0xFFFu)

u32 apic_pages_read(u32 physical, u32 size)
{
	u32 at = physical & ~PAGE;

	if ((physical & PAGE) == LOCAL_APIC_ADDRESS && !local_apic_present())
		return ~0u;
	if (size != 4 || at % 16)
		return 0;
	if ((physical & PAGE) == IO_APIC_ADDRESS)
		return io_apic_read(at);
	return at < 0x400 ? local_apic_read(at / 16) : 0;
}

void apic_pages_write(u32 physical, u32 size, u32 value)
{
	u32 at = physical & ~PAGE, ended;

	if (size != 4 || at % 16)
		return;
	if ((physical & PAGE) == IO_APIC_ADDRESS) {
		io_apic_write(at, value);
		return;
	}
	if (!local_apic_present() || at >= 0x400)
		return;
	ended = local_apic_write(at / 16, value);
	if (ended)
		io_apic_end(ended);
}
