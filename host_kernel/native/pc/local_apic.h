/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the local APIC's interrupts (local_apic.c), its registers (local_apic_registers.c) and its timer (apic_timer.c)
 * share.
 */
#ifndef HOST_KERNEL_NATIVE_PC_LOCAL_APIC_H
#define HOST_KERNEL_NATIVE_PC_LOCAL_APIC_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

/* Register numbers: their addresses / 16. */
#define ID         0x02
#define VERSION    0x03
#define TPR        0x08
#define PPR        0x0A
#define EOI        0x0B
#define LDR        0x0D
#define DFR        0x0E
#define SVR        0x0F
#define ISR        0x10 /* these three have eight registers each, a bit for each vector */
#define TMR        0x18
#define IRR        0x20
#define ESR        0x28
#define ICR        0x30
#define ICR_HIGH   0x31
#define LVT_TIMER  0x32
#define LVT_THERMAL 0x33
#define LVT_COUNTERS 0x34
#define LVT_LINT0  0x35
#define LVT_LINT1  0x36
#define LVT_ERROR  0x37
#define INITIAL_COUNT 0x38
#define CURRENT_COUNT 0x39
#define DIVIDE     0x3E
#define REGISTERS  0x40

#define SVR_ENABLE    0x100u
#define LVT_MASKED    0x10000u
#define MODE(value)   ((value) >> 8 & 7)
#define MODE_FIXED    0u
#define MODE_LOWEST   1u
#define MODE_NMI      4u
#define MODE_EXTINT   7u
#define ERROR_SENT     0x20u /* of ESR: an illegal vector was sent, */
#define ERROR_RECEIVED 0x40u /* or received, */
#define ERROR_ADDRESS  0x80u /* or there is no such register */

struct local_apic {
	u32 registers[REGISTERS];
	u32 errors;   /* what the next write to ESR shows */
	bool present; /* the MSR's enable bit */
};
extern struct local_apic local_apic;

/* local_apic.c */
void local_apic_update(void);
void local_apic_error(u32 which);
void local_apic_send(u32 command);
u32 local_apic_priority(void);
u32 local_apic_end(void);
void local_apic_timer_expired(void);

/* apic_timer.c */
void apic_timer_reset(void);
void apic_timer_start(u32 count);
u32 apic_timer_count(void);
void apic_timer_divide(u32 value);
void apic_timer_mode(bool again);
bool apic_timer_due(void);
void apic_timer_again(void);

#endif
