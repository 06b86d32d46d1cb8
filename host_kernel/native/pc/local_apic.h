/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the local APIC (local_apic.c) needs of its timer (apic_timer.c). */
#ifndef HOST_KERNEL_NATIVE_PC_LOCAL_APIC_H
#define HOST_KERNEL_NATIVE_PC_LOCAL_APIC_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

void apic_timer_reset(void);
void apic_timer_start(u32 count);
u32 apic_timer_count(void);
void apic_timer_divide(u32 value);
void apic_timer_mode(bool again);
bool apic_timer_due(void);
void apic_timer_again(void);

#endif
