/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the Guest's frames may have been written since we last looked (dirty.c). */
#ifndef HOST_KERNEL_MEMORY_DIRTY_H
#define HOST_KERNEL_MEMORY_DIRTY_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

#define FRAME_DIRTY 0x80000000u /* through a shadow entry that is gone */
extern u32 *writers;        /* for each frame of the Guest's: how many shadow entries let it be written; FRAME_DIRTY */
extern u32 writers_count;   /* frames */
u32 writers_init(u32 first_free);
bool test_and_clear_dirty(u32 frame);

#endif
