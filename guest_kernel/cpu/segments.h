/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDT entries, which the Host writes for the kernel. */
#ifndef SEGMENTS_H
#define SEGMENTS_H
#include "switcher/layouts/types.h"

/* The access byte: present, DPL, S, type. */
#define SEGMENT_CODE      0x9B
#define SEGMENT_DATA      0x93
#define SEGMENT_PRESENT   0x80
#define SEGMENT_ACCESSED  0x01
#define SEGMENT_DPL(ring) ((ring) << 5)

#define SEGMENT_FLAT 0xFFFFFFFF /* a limit: 4 GiB. Any other is in bytes, below 1 MiB */

void segments_init(void);
void segment_descriptor(u32 base, u32 limit, u32 access, u32 words[2]);
void segment_load(u32 entry, u32 base, u32 limit, u32 access);

#endif
