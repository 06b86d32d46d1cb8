/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The eight operations of the opcodes below 0x40, and test, with the flags that they set.  Read next: arithmetic.c. */
#ifndef HOST_KERNEL_PCI_ARITHMETIC_H
#define HOST_KERNEL_PCI_ARITHMETIC_H
#include "switcher/layouts/types.h"

#define OPERATION_CMP  7u /* 0 to 7: add, or, adc, sbb, and, sub, xor, cmp */
#define OPERATION_TEST 8u
u32 arithmetic(u32 operation, u32 a, u32 b, u32 size);

#endif
