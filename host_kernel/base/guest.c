/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The global state: one machine, one Guest, its personality, its Switcher.  Read before: guest.h. */
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/sections.h"

struct machine machine HOT;
struct mailbox *const mailbox = (struct mailbox *)MAILBOX_ADDRESS;
struct guest guest HOT;
struct personality personality HOT;
u32 (*world_switch)(void) HOT;
const u32 *switcher_entries;
u32 switcher_return;
