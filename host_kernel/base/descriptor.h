/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The upper word of a segment descriptor or gate.  Source: Intel SDM vol. 3, 3.4.5 and 6.11. */
#ifndef HOST_KERNEL_BASE_DESCRIPTOR_H
#define HOST_KERNEL_BASE_DESCRIPTOR_H
#include "switcher/layouts/types.h"

#define HIGH_ACCESSED   0x100u /* code and data */
#define HIGH_WRITABLE 0x200u /* data */
#define HIGH_CONFORMING 0x400u /* code */
#define HIGH_CODE     0x800u
#define HIGH_S        0x1000u /* a code or data segment, not a system one */
#define HIGH_DPL      0x6000u
#define HIGH_DPL_1    0x2000u
#define HIGH_P        0x8000u
#define HIGH_D        0x400000u
#define HIGH_G        0x800000u

#define DATA_RING_0 0x00CF93000000FFFFull /* a whole descriptor: flat, and accessed */

#endif
