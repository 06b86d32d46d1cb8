/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface between an lguest-capable 32-bit Linux and its Host: numbers and layouts
 * (include/linux/lguest.h, lguest_launcher.h and asm/lguest_hcall.h of Linux 3.x and 4.x are the source).
 * Shared by host_kernel, guest_kernel and, through tools/layouts.py, Python.
 * Next in the book: guest_kernel/base/layout.h.
 */
#ifndef SWITCHER_LAYOUTS_LGUEST_ABI_H
#define SWITCHER_LAYOUTS_LGUEST_ABI_H
#include "switcher/layouts/types.h"

#define HYPERCALL_VECTOR 0x1f

#define LHCALL_FLUSH_ASYNC      0
#define LHCALL_LGUEST_INIT      1
#define LHCALL_SHUTDOWN         2
#define LHCALL_NEW_PGTABLE      4
#define LHCALL_FLUSH_TLB        5
#define LHCALL_LOAD_IDT_ENTRY   6
#define LHCALL_SET_STACK        7
#define LHCALL_TS               8
#define LHCALL_SET_CLOCKEVENT   9
#define LHCALL_HALT             10
#define LHCALL_SET_PMD          13
#define LHCALL_SET_PTE          14
#define LHCALL_SET_PGD          15
#define LHCALL_LOAD_TLS         16
#define LHCALL_NOTIFY           17
#define LHCALL_LOAD_GDT_ENTRY   18
#define LHCALL_SEND_INTERRUPTS  19

#define SHUTDOWN_POWEROFF 1
#define SHUTDOWN_RESTART  2

#define HCALL_RING 64
#define HCALL_FREE 0xFF
#define LGUEST_IRQS 32
#define GUEST_IF 0x200 /* irq_enabled and irq_pending hold this, or 0 */
#define FIRST_IRQ_VECTOR 0x20 /* virtual interrupt n arrives at vector 0x20 + n */
#define RESERVE_MEM 0x400000

struct hypercall_entry {
	u32 nr;
	u32 arg1;
	u32 arg2;
	u32 arg3;
	u32 arg4;
};

/* Forms of struct lguest_data: machine.abi. */
#define LGUEST_DATA_1 1 /* as below: Linux 3.1 to 3.19 */
#define LGUEST_DATA_2 2 /* from 4.0: noirq_iret in place of noirq_start and noirq_end */
#define LGUEST_DATA_0 3 /* up to 3.0: pgdir before noirq_start, and the Host makes the first page tables */

struct lguest_data {
	u32 irq_enabled;
	u32 blocked_interrupts;
	u32 cr2;
	u32 time_seconds;
	u32 time_nanoseconds;
	u32 irq_pending;
	u8 hcall_status[64];
	struct hypercall_entry hcalls[64];
	u32 reserve_mem;
	u32 tsc_khz;
	u32 noirq_start;
	u32 noirq_end;
	u32 kernel_address;
	u32 syscall_vec;
};

/* LGUEST_DATA_2; what precedes tsc_khz is as above. */
struct lguest_data_second {
	u32 same[343];
	u32 tsc_khz;
	u32 noirq_iret;
	u32 kernel_address;
	u32 syscall_vec;
};

/* LGUEST_DATA_0; what precedes tsc_khz is as above. */
struct lguest_data_old {
	u32 same[343];
	u32 tsc_khz;
	u32 pgdir; /* the Host writes it at LGUEST_INIT, then the Guest */
	u32 noirq_start;
	u32 noirq_end;
	u32 kernel_address;
	u32 syscall_vec;
};

/* The device page of generation 1, just above RAM. Descriptors are packed; type 0 ends the list. */
#define LGUEST_DEVICE_PAGES 256
#define LGUEST_RING_SIZE    256
#define LGUEST_RING_ALIGN   4096
struct lguest_device_desc {
	u8 type;
	u8 num_vq;
	u8 feature_len;
	u8 config_len;
	u8 status;
};

/* boot_params, at Guest-physical 0. Source: Linux Documentation/x86/boot.txt, zero-page.txt. */
#define BOOT_PARAMS_E820_ENTRIES     0x1E8
#define BOOT_PARAMS_VERSION          0x206
#define BOOT_PARAMS_TYPE_OF_LOADER   0x210
#define BOOT_PARAMS_LOADFLAGS        0x211
#define BOOT_PARAMS_INITRD_START     0x218
#define BOOT_PARAMS_INITRD_SIZE      0x21C
#define BOOT_PARAMS_CMDLINE          0x228
#define BOOT_PARAMS_KERNEL_ALIGNMENT 0x230
#define BOOT_PARAMS_SUBARCH          0x23C
#define BOOT_PARAMS_E820_MAP         0x2D0
#define SUBARCH_LGUEST 1

#endif
