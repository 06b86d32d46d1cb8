/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses, selectors and numbers that the tiny Guest's C and assembly share. Plain integers only.
 * The selectors the Host gives us are in switcher/layouts/lguest_pages.h, the ABI in switcher/layouts/lguest_abi.h.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

/* Kernel: physical memory appears at KERNEL_OFFSET, up to SCRATCH_WINDOW. The top 4 MiB are the Switcher's. */
#define KERNEL_OFFSET  0xC0000000
#define SCRATCH_WINDOW 0xFF000000 /* 4 MiB of kernel addresses whose pages the tests change */
#define DEVICE_WINDOW  0xFF400000 /* the device page and rings, which lie just above RAM */
#define STACK_BYTES    8192       /* a task's ring-1 stack */

/* Programs, in every task alike. */
#define USER_TEXT         0x00400000 /* read-only, shared: straight from the kernel's image */
#define USER_DATA         0x00800000 /* a private copy of the image's data, then zeroes */
#define USER_DATA_END     0x00900000
#define USER_STACK_BOTTOM 0xBFF00000
#define USER_STACK_TOP    0xBFFFF000

/* Segments: 12 and 13 are given; the rest we load. */
#define GDT_TLS     6
#define TLS_COUNT   3
#define GDT_USER_CS 14
#define GDT_USER_DS 15
#define GDT_TEST    20 /* and up to 23: the tests' own */
#define USER_CS     0x73
#define USER_DS     0x7B
#define TLS_SELECTOR 0x33

/* Vectors: exceptions, virtual interrupts, and the system call. */
#define STUBS              64
#define SYSTEM_CALL_VECTOR 0x80

/* System calls: number in eax, arguments in ebx and ecx, result in eax (negative: an error). */
#define SYS_EXIT    0
#define SYS_WRITE   1
#define SYS_YIELD   2
#define SYS_SLEEP   3 /* milliseconds */
#define SYS_GETPID  4
#define SYS_UPTIME  5 /* milliseconds */
#define SYS_SET_TLS 6 /* base: a segment of one page; its selector comes back */

#endif
