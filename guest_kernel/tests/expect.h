/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a trap must look like in its handler. */
#ifndef EXPECT_H
#define EXPECT_H
#include "switcher/types.h"

#define EFLAGS_TF   0x100
#define EFLAGS_IF   0x200
#define EFLAGS_IOPL 0x3000
#define EFLAGS_NT   0x4000

/* Run code in a ring with eax as given; its first trap must be this one, at `at` unless that is NULL. */
void expect_trap(u32 ring, const char *start, u32 eax, u32 vector, u32 error, const char *at);
/* The same for a page fault for an access to address (which is eax). */
void expect_page_fault(u32 ring, const char *start, u32 address, u32 error, const char *at);
/* Code that makes no trap but its closing system call: what it left in ebx. */
void expect_result(u32 ring, const char *start, u32 eax, u32 ebx);

#endif
