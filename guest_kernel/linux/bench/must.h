/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends of the program, and system calls without which no measurement makes sense. */
#ifndef MUST_H
#define MUST_H
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"

enum { ECHILD = 10, ENOMEM = 12 };

/* The call's value; an error ends the program, and in process 1 the machine. */
s32 must(const char *what, s32 value);
#define MUST(call) must(#call, (s32)(call))

s32 child_ended(s32 pid); /* waits for a child; its exit status */
void init_power_off(void) __attribute__((noreturn));
#endif
