/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a program's memory, which may not be there. */
#ifndef COPY_H
#define COPY_H
#include "guest_kernel/cpu/traps.h"

bool copy_from_user(void *to, u32 from, u32 count);
bool copy_recover(struct frame *frame); /* was this trap in the middle of it? then it ends there */

/* In switch.S: how many bytes were not copied. */
u32 copy_bytes(void *to, const void *from, u32 count);
extern const char copy_bytes_at[], copy_bytes_end[];

#endif
