/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port I/O, which the Host emulates. A port without a device reads ones. */
#ifndef PORTS_H
#define PORTS_H
#include "switcher/layouts/types.h"

static inline void port_out(u16 port, u32 value, u32 size)
{
	if (size == 1)
		__asm__ volatile("outb %b0, %w1" : : "a"(value), "Nd"(port));
	else if (size == 2)
		__asm__ volatile("outw %w0, %w1" : : "a"(value), "Nd"(port));
	else
		__asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(port));
}

static inline u32 port_in(u16 port, u32 size)
{
	u32 value = 0;
	if (size == 1)
		__asm__ volatile("inb %w1, %b0" : "+a"(value) : "Nd"(port));
	else if (size == 2)
		__asm__ volatile("inw %w1, %w0" : "+a"(value) : "Nd"(port));
	else
		__asm__ volatile("inl %w1, %0" : "+a"(value) : "Nd"(port));
	return value;
}

#endif
