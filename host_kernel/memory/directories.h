/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shadow page directories, one of which is the current one.  Read next: directories.c. */
#ifndef HOST_KERNEL_MEMORY_DIRECTORIES_H
#define HOST_KERNEL_MEMORY_DIRECTORIES_H
#include "host_kernel/memory/shadow.h"

/* The shadow of one page directory of the Guest. */
struct shadow_directory {
	u32 guest;    /* Guest-physical address of the Guest's directory; or LINEAR_MAP */
	u16 page;     /* the shadow page; 0: this slot is free */
	u32 flushed;  /* the value of flushes when it was last synced */
	u32 used;     /* the value of switches when it was last entered */
	struct shadow_directory *next; /* in its bucket */
};

void shadow_directories_init(u32 switcher_entry);
struct shadow_directory *shadow_directory_current(void);
struct shadow_directory *shadow_directory_find(u32 guest_directory);
void shadow_directory_enter(u32 guest_directory);
void shadow_directory_link(struct shadow_directory *directory, u32 index, u32 guest_entry);
void shadow_directory_sync_one(struct shadow_directory *directory, u32 index);
void shadow_directory_sync_below(struct shadow_directory *directory, u32 address);
void shadow_directory_sync_local(struct shadow_directory *directory);
void shadow_directory_sync_stale(struct shadow_directory *directory);
void shadow_directories_all_stale(void);

#endif
