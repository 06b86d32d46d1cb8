/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Guest's debug registers. */
#ifndef HOST_KERNEL_MACHINE_DEBUG_REGISTERS_H
#define HOST_KERNEL_MACHINE_DEBUG_REGISTERS_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

void debug_registers_init(void);
void debug_registers_restored(void);
u32 debug_register_read(u32 number);
void debug_register_write(u32 number, u32 value);
bool debug_register_detected(void);
u32 debug_cause(void);
void debug_raised(u32 cause);
void debug_registers_off(void);
void debug_registers_on(void);
void debug_registers_lend(const u32 addresses[4], u32 dr7);
u32 debug_registers_lent(void);
bool debug_registers_work(void);

#endif
