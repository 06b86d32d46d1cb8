/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's one-shot timer, and the I/O APIC's pin through which the Launcher's doorbell comes. */
#ifndef HOST_KERNEL_MACHINE_APIC_H
#define HOST_KERNEL_MACHINE_APIC_H
#include "switcher/layouts/types.h"

void apic_init(void);
void apic_acknowledge_doorbell(void);
void apic_end_of_interrupt(void);
void apic_timer(u32 nanoseconds);
u32 apic_measure_tsc(void);

#endif
