/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The integer types of the 32-bit code, and of the headers that tools/layouts.py reads. */
#ifndef SWITCHER_LAYOUTS_TYPES_H
#define SWITCHER_LAYOUTS_TYPES_H
#include <stddef.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
#endif
