/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dirty tracking of the frames that hold the Guest's page tables (dirty.c). */
#ifndef HOST_KERNEL_MEMORY_DIRTY_H
#define HOST_KERNEL_MEMORY_DIRTY_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

#define FRAME_DIRTY 0x80000000u /* written through a shadow entry that no longer exists */
extern u32 *writers;        /* for each frame: the number of writable shadow entries that map it, and FRAME_DIRTY */
extern u32 writers_count;   /* of frames */
u32 writers_init(u32 first_free);
bool test_and_clear_dirty(u32 frame);

/* The Host kernel writes to this frame by itself, and no shadow entry tells of it. */
static inline void mark_dirty(u32 frame)
{
	writers[frame] |= FRAME_DIRTY;
}

#endif
