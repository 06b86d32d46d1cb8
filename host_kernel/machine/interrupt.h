/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Called by entries.S and the lean Switcher. */
#ifndef HOST_KERNEL_MACHINE_INTERRUPT_H
#define HOST_KERNEL_MACHINE_INTERRUPT_H
#include "switcher/layouts/types.h"

void host_interrupt(u32 vector);

#endif
