/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checksum of zlib and Ethernet. */
#ifndef CRC32_H
#define CRC32_H
#include "switcher/layouts/types.h"

u32 crc32(u32 before, const void *data, u32 bytes); /* 0 before the first bytes */

#endif
