/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run loop, and the end of a Guest whose registers could not be restored. */
#ifndef HOST_KERNEL_CORE_RUN_H
#define HOST_KERNEL_CORE_RUN_H
#include "switcher/layouts/lguest_pages.h"

void run(void) __attribute__((noreturn));

#endif
