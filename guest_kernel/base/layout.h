/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chapter: The Guest. The tiny Guest is a small kernel that knows that it is a Guest. It has what makes a kernel: page
 * tables, interrupts, traps, tasks, and programs in ring 3. What ring 1 may not do it asks for by a hypercall: load a
 * descriptor, change to other page tables, wait. Each of these calls has its other half in the chapter about the Host.
 *
 * Addresses, selectors and numbers that the tiny Guest's C and assembly share. Plain integers only.
 *
 * Read next: switcher/layouts/lguest_pages.h for the selectors that the Host chooses, switcher/layouts/lguest_abi.h for the
 * hypercall interface.
 * Next in the book: guest_kernel/main/start.S.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#define PAGE_SIZE        4096
#define PAGE_SHIFT       12
#define PDE_SHIFT        22   /* a page directory entry maps 4 MiB */
#define ENTRIES_PER_TABLE 1024

/* Kernel addresses: RAM is mapped from KERNEL_OFFSET up to SCRATCH_WINDOW. The top 4 MiB belong to the Switcher. */
#define KERNEL_OFFSET  0xC0000000
#define KERNEL_START   0x00100000 /* physical: where the image is loaded */
#define SCRATCH_WINDOW 0xFF000000 /* 4 MiB of kernel addresses whose page table entries the tests change */
#define DEVICE_WINDOW  0xFF400000 /* maps what devices have above RAM: the device page and its virtqueues, or BARs */
#define DEVICE_WINDOW_BYTES 0x400000
#define STACK_BYTES    8192       /* a task's ring-1 stack */
#define STACK_PAGES    2          /* the same, as LHCALL_SET_STACK counts */

/* User addresses, the same in every task. */
#define USER_TEXT         0x00400000 /* read-only, shared: mapped from the kernel's image */
#define USER_DATA         0x00800000 /* a private copy of the image's data, then zeroes */
#define USER_DATA_END     0x00900000
#define USER_STACK_BOTTOM 0xBFF00000
#define USER_STACK_TOP    0xBFFFF000

/* GDT entries. 12 and 13, the kernel's segments, exist from the start; the kernel loads the rest. */
#define GDT_TLS      6
#define TLS_COUNT    3
#define GDT_USER_CS  14
#define GDT_USER_DS  15
#define GDT_TEST     20 /* up to 23: for the tests */
#define USER_CS      0x73
#define USER_DS      0x7B
#define TLS_SELECTOR 0x33

/* Vectors. Exceptions and virtual interrupts have a stub each. */
#define TRAP_STUBS         64
#define SYSTEM_CALL_VECTOR 0x80

#define EFLAGS_RESERVED 0x2 /* bit 1 of eflags is always set */

/* System calls: number in eax, arguments in ebx and ecx, result in eax (negative: an error). */
#define SYS_EXIT    0
#define SYS_WRITE   1
#define SYS_YIELD   2
#define SYS_SLEEP   3 /* milliseconds */
#define SYS_GETPID  4
#define SYS_UPTIME  5 /* milliseconds */
#define SYS_SET_TLS 6 /* base of a one-page segment; returns its selector */

#endif
