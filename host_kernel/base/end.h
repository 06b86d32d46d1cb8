/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions that end a run.  They do not return, so a caller that finds a violated rule needs no error path. */
#ifndef HOST_KERNEL_BASE_END_H
#define HOST_KERNEL_BASE_END_H
#include "switcher/layouts/lguest_pages.h"

void end_guest(u32 kind, const char *message) __attribute__((noreturn));
void kill_guest(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));
void host_failed(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));
void host_exception(const struct registers *at) __attribute__((noreturn));

#endif
