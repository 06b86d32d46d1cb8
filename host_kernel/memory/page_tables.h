/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paging operations for the personalities.  Read next: page_tables.c. */
#ifndef HOST_KERNEL_MEMORY_PAGE_TABLES_H
#define HOST_KERNEL_MEMORY_PAGE_TABLES_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

void page_tables_init(void);
void load_page_directory(u32 directory);
bool load_pdptes(u32 pdpt);
void forget_all(void);
void flush_address(u32 address);
void set_pte(u32 directory, u32 address, u32 value);
void set_pgd(u32 directory, u32 index);
void flush_user(void);
void flush_all(void);
void pin_stack(u32 top, u32 pages);
void map_for_guest(u32 address, const void *pages, u32 bytes);
u32 map_lguest_data(u32 address);
void map_gdt_page(u32 frame);
void unmap_gdt_page(u32 frame);
void shadow_allow_write(u32 address, bool allow);

#endif
