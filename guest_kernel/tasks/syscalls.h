/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls: layout.h has the numbers. */
#ifndef SYSCALLS_H
#define SYSCALLS_H
#include "guest_kernel/cpu/traps.h"

void system_call(struct frame *frame);

#endif
