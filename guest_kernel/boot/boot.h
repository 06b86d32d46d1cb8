/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boot part's two jobs. */
#ifndef BOOT_H
#define BOOT_H
#include "switcher/layouts/types.h"

/*
 * The kernel in a gzip file of `bytes` bytes at `packed`, unpacked behind it and put where its ELF headers say.
 * Returns its entry point; 0 if any of it is not as it should be.
 */
u32 unpack(const u8 *packed, u32 bytes);

/*
 * Undo DEFLATE (RFC 1951): from packed, at most `bytes` of it, to `to`, at most `room` bytes. Returns how many bytes
 * were made and in *used how many were read; 0 for data that are damaged or too large.
 */
u32 inflate(const u8 *packed, u32 bytes, u8 *to, u32 room, u32 *used);

#endif
