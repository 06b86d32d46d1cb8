/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boot part of the bzImage: decompress and load the kernel. */
#ifndef BOOT_H
#define BOOT_H
#include "switcher/layouts/types.h"

/*
 * Decompresses the gzip file of `bytes` bytes at `packed` into the memory after it, and loads the ELF in it at the
 * physical addresses of its program headers. Returns its entry point; 0 for a damaged file.
 */
u32 unpack(const u8 *packed, u32 bytes);

/*
 * Decompresses DEFLATE data (RFC 1951): at most `bytes` from `packed`, at most `room` to `to`. Returns how many bytes
 * were written, and in *used how many were read; 0 for data that are damaged or too large.
 */
u32 inflate(const u8 *packed, u32 bytes, u8 *to, u32 room, u32 *used);

#endif
