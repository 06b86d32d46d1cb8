/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults that fill the shadow and stay hidden from the Guest. */
#ifndef HOST_KERNEL_MEMORY_FAULT_H
#define HOST_KERNEL_MEMORY_FAULT_H
#include "switcher/layouts/types.h"

#define FAULT_DENIED 0 /* the Guest's page tables do not allow the access */
#define FAULT_FILLED 1 /* the shadow now allows it */
#define FAULT_IO     2 /* the Guest's page tables allow it, but there is no memory: a BAR (host_kernel/pci/mmio.c) */
u32 demand_page(u32 address, u32 access, u32 *error);
void fill_around(u32 address);

#endif
