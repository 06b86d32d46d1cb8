/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between shadow.c (a pool of shadow pages), directories.c (those in use) and page_tables.c (what the Guest may ask). */
#ifndef SHADOW_H
#define SHADOW_H
#include "host.h"

#define ENTRIES 1024u
#define FRAME(entry) ((entry) >> 12)
#define INDEX(address) ((address) >> 22)          /* in a directory */
#define SUBINDEX(address) (((address) >> 12) % ENTRIES) /* in a table */
#define SWITCHER_INDEX INDEX(SWITCHER_BASE)
#define LINEAR_FRAME 0x100000u /* "frames" of tables that the Guest does not have: the linear map's, by index */
#define LARGE_FRAME  0x200000u /* and those that stand for one 4 MiB page, by its number */

/* A cached directory of the Guest's. */
struct directory {
	u32 guest;    /* its physical address; LINEAR_MAP */
	u16 page;     /* its shadow; 0: this slot is free */
	bool stale;   /* a flush of everything has not reached it */
	u32 used;     /* when it was last the current one, in switches of directory */
};

/* shadow.c */
u32 *page_entries(u16 page);
u16 page_of(u32 shadow_entry);
u16 page_alloc(void);
void page_use(u16 page, u32 index);
u32 page_next(u16 page, u32 index);
void page_free(u16 page);
u16 table_find(u32 frame);
u16 table_get(u32 frame, bool *shared);
u32 table_frame(u16 page);
bool table_is_global(u16 page);
void table_hold(u16 page);
void table_release(u16 page);
void table_map(u16 page, u32 index, u32 guest_entry);
void table_sync(u16 page);
void table_sync_one(u16 page, u32 index);

/* directories.c */
extern u32 directories_changed; /* grows whenever a shadow directory may point elsewhere than before */
void directories_init(u32 switcher_entry);
struct directory *directory_current(void);
struct directory *directory_find(u32 guest_directory);
void directory_enter(u32 guest_directory);
void directory_link(struct directory *directory, u32 index, u32 guest_entry);
void directory_sync_one(struct directory *directory, u32 index);
void directory_sync(struct directory *directory, u32 first, u32 end);
void directory_sync_local(struct directory *directory);
void directories_stale(void);
bool directory_evict(void);

/* walk.c */
u32 table_key(u32 directory_entry);
u32 directory_entry(u32 guest_directory, u32 index);
u32 table_entry(u32 frame, u32 index);
void check_directory_entry(u32 entry, u32 address);
void check_entry(u32 entry, u32 address);

#endif
