/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls; guest_kernel/base/layout.h has their numbers. */
#ifndef SYSCALLS_H
#define SYSCALLS_H
#include "guest_kernel/cpu/frame.h"

void system_call(struct trap_frame *frame);

#endif
