/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the linker script puts what a world switch touches.  Behind a load of CR3 every page is looked up anew, so code
 * and data of the hot paths share few pages.  See host_kernel/host_kernel.ld.
 */
#ifndef HOST_KERNEL_BASE_SECTIONS_H
#define HOST_KERNEL_BASE_SECTIONS_H

#define ALWAYS __attribute__((section(".text.always"))) /* code on the way of every hypercall */
#define OFTEN __attribute__((section(".text.often")))   /* code of faults and page tables */
#define HOT __attribute__((section(".bss.hot")))        /* data */

#endif
