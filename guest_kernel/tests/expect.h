/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of a trap, as its handler finds it. */
#ifndef EXPECT_H
#define EXPECT_H
#include "switcher/layouts/types.h"

#define EFLAGS_TF   0x100
#define EFLAGS_IF   0x200
#define EFLAGS_IOPL 0x3000
#define EFLAGS_NT   0x4000

/* Runs code in a ring with eax as given. Its first trap must be this one, at `at` unless that is NULL. */
void expect_trap(u32 ring, const char *start, u32 eax, u32 vector, u32 error, const char *at);
/* The same for a page fault at an address, which is passed in eax. */
void expect_page_fault(u32 ring, const char *start, u32 address, u32 error, const char *at);
/* Runs code that makes no trap except its last system call, and checks its ebx. */
void expect_result(u32 ring, const char *start, u32 eax, u32 ebx);

#endif
