/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The four ways to stop. */
#ifndef POWER_H
#define POWER_H

void power_off(void) __attribute__((noreturn));
void power_restart(void) __attribute__((noreturn));
void panic(const char *why) __attribute__((noreturn));
void power_halt(void) __attribute__((noreturn)); /* with all interrupts masked: nothing wakes it */

#endif
