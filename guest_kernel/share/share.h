/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of a folder of the Host: one at a time. All return 0, or the number of an error. */
#ifndef SHARE_H
#define SHARE_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define SHARE_CHUNK 4096 /* the most bytes that one call reads or writes */
#define SHARE_NONE  19   /* ENODEV */

#define SHARE_READ      0
#define SHARE_DIRECTORY 0200000

u32 share_mount(u32 number); /* and forgets the file that was open */
bool share_mounted(void);
u32 share_open(const char *path, u32 flags);
u32 share_create(const char *path); /* or empties the file that is there */
u32 share_read(u64 offset, const u8 **data, u32 *bytes); /* 0 bytes: the end of the file */
u32 share_write(u64 offset, const void *data, u32 bytes);
/* The next entry of an open directory: its name, not terminated. 0 length: there are no more. */
u32 share_entry(u64 *cookie, const char **name, u32 *length);
void share_close(void);

#endif
