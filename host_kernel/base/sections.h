/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sections for what a world switch uses.  A load of CR3 flushes the TLB, so the code and data of the hot paths share few
 * pages.  See host_kernel/host_kernel.ld.
 */
#ifndef HOST_KERNEL_BASE_SECTIONS_H
#define HOST_KERNEL_BASE_SECTIONS_H

#define ALWAYS __attribute__((section(".text.always"))) /* code that every hypercall runs */
#define OFTEN __attribute__((section(".text.often")))   /* code of page faults and page tables */
#define HOT __attribute__((section(".bss.hot")))        /* data of every world switch */

#endif
