/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32, four bits at a time. Source: ITU-T V.42, section 8.1.1.6.2; the bits are reflected. */
#include "guest_kernel/base/crc32.h"
#include "switcher/layouts/types.h"

#define POLYNOMIAL 0xEDB88320

u32 crc32(u32 before, const void *data, u32 bytes)
{
	static u32 table[16];
	const u8 *at = data;
	u32 sum = ~before;
	if (!table[1]) {
		for (u32 i = 0; i < 16; i++) {
			table[i] = i;
			for (u32 bit = 0; bit < 4; bit++)
				table[i] = table[i] >> 1 ^ (table[i] & 1 ? POLYNOMIAL : 0);
		}
	}
	while (bytes--) {
		sum ^= *at++;
		sum = sum >> 4 ^ table[sum & 0xF];
		sum = sum >> 4 ^ table[sum & 0xF];
	}
	return ~sum;
}
