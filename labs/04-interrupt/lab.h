/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this lab share.  Read before: guest.c. */
#ifndef LAB_H
#define LAB_H
#include "labs/small/small.h"

#define CLOCK_IRQ      0
#define GATE_INTERRUPT 0x8E00u /* the low half of a gate's upper word: present, for ring 0 or 1, an interrupt gate */
#define CLOCK_NS       1000000 /* 1 ms */

extern volatile u32 ticks;

/* guest.c */
void set_clock_gate(void);
void clock_tick(void);
void wait_for_tick(void);

/* handler.S */
extern const char clock_entry[];

/* proof.c */
void clock_arm(void);

/* registers.S: 0: all registers and the flags kept their values; else the number of one that did not (REGISTERS of the test) */
u32 spin_with_full_registers(u32 rounds);

#endif
