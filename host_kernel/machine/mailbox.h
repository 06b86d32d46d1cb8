/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Host kernel's side of struct mailbox (switcher/layouts/machine.h). */
#ifndef HOST_KERNEL_MACHINE_MAILBOX_H
#define HOST_KERNEL_MACHINE_MAILBOX_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

extern void (*mailbox_pause)(void); /* stand still until the Launcher wants no more of it; set before the first interrupt */

void mailbox_init(void);
void mailbox_doorbell(void);
void mailbox_notify(u32 address);
void mailbox_text(const u8 *text, u32 count);
void mailbox_flush(void);
void mailbox_irqs(void);
void mailbox_irqs_forget(u32 number);
bool mailbox_poll(void);
u32 mailbox_register(u32 slot, u32 offset, u32 size, bool write, u32 value);
void mailbox_rung(void);

#endif
