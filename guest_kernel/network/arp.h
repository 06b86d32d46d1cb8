/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ARP: whose Ethernet address is it? */
#ifndef ARP_H
#define ARP_H
#include "switcher/layouts/types.h"

void arp_input(const void *frame, u32 bytes, u32 own);
const u8 *arp_find(u32 address, u32 own); /* asks, and waits; NULL: nobody answers */

#endif
