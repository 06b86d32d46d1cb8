/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers in a BAR. The Host decodes the instruction that accesses one, so it is always a plain mov. */
#ifndef REGISTERS_H
#define REGISTERS_H
#include "switcher/layouts/types.h"

static inline u8 read8(const volatile void *at)
{
	u8 value;
	__asm__ volatile("movb (%1), %0" : "=q"(value) : "r"(at) : "memory");
	return value;
}

static inline u16 read16(const volatile void *at)
{
	u16 value;
	__asm__ volatile("movw (%1), %0" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static inline u32 read32(const volatile void *at)
{
	u32 value;
	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static inline void write8(volatile void *at, u8 value)
{
	__asm__ volatile("movb %0, (%1)" : : "q"(value), "r"(at) : "memory");
}

static inline void write16(volatile void *at, u16 value)
{
	__asm__ volatile("movw %0, (%1)" : : "r"(value), "r"(at) : "memory");
}

static inline void write32(volatile void *at, u32 value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(at) : "memory");
}

#endif
