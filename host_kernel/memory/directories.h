/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shadow page directories, one of which is the current one.  Read next: directories.c. */
#ifndef HOST_KERNEL_MEMORY_DIRECTORIES_H
#define HOST_KERNEL_MEMORY_DIRECTORIES_H
#include "host_kernel/memory/shadow.h"

/* A cached directory of the Guest's. */
struct directory {
	u32 guest;    /* its physical address; LINEAR_MAP */
	u16 page;     /* its shadow; 0: this slot is free */
	u32 flushed;  /* the last flush of everything that reached it, as flushes counts them */
	u32 used;     /* when it was last the current one, in switches of directory */
	struct directory *next; /* in its bucket */
};

void directories_init(u32 switcher_entry);
struct directory *directory_current(void);
struct directory *directory_find(u32 guest_directory);
void directory_enter(u32 guest_directory);
void directory_link(struct directory *directory, u32 index, u32 guest_entry);
void directory_sync_one(struct directory *directory, u32 index);
void directory_sync_below(struct directory *directory, u32 address);
void directory_sync_local(struct directory *directory);
void directory_sync_old(struct directory *directory);
void directories_all_old(void);

#endif
