/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a program's memory, which may not be mapped. */
#ifndef COPY_H
#define COPY_H
#include "guest_kernel/cpu/frame.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

bool copy_from_user(void *to, u32 from, u32 count);
bool copy_fixup(struct trap_frame *frame); /* ends the copy that trapped; false if the trap has another cause */

/* copy.S: returns the number of bytes not copied. */
u32 copy_bytes(void *to, const void *from, u32 count);
extern const char copy_bytes_at[], copy_bytes_end[];

#endif
