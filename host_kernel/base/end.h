/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ways in which a run ends.  None returns, so a caller that found a broken rule need not think of what comes after. */
#ifndef HOST_KERNEL_BASE_END_H
#define HOST_KERNEL_BASE_END_H
#include "switcher/layouts/types.h"

void end_guest(u32 kind, const char *message) __attribute__((noreturn));
void kill_guest(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));
void host_failed(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
