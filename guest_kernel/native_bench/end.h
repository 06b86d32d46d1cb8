/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two ends of the measuring kernel. */
#ifndef END_H
#define END_H
#include "switcher/layouts/types.h"

void native_power_off(void) __attribute__((noreturn));
void native_trapped(u32 vector, const u32 *frame) __attribute__((noreturn)); /* an unexpected trap */

#endif
