/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entries of the GDT. */
#ifndef SEGMENTS_H
#define SEGMENTS_H
#include "switcher/layouts/types.h"

/* The access byte: present, DPL, S, type. */
#define SEGMENT_CODE     0x9B
#define SEGMENT_DATA     0x93
#define SEGMENT_DPL(ring) ((ring) << 5)

void segments_init(void);
/* Words of a descriptor, byte-granular up to limit (below 1 MiB), or of 4 GiB when limit is SEGMENT_FLAT. */
#define SEGMENT_FLAT 0xFFFFFFFF
void segment_words(u32 base, u32 limit, u32 access, u32 words[2]);
void segment_load(u32 entry, u32 base, u32 limit, u32 access);

#endif
