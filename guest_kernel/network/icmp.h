/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ICMP echo: ping, and the answer to one. */
#ifndef ICMP_H
#define ICMP_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PING_BYTES 56 /* of data */

void icmp_input(const void *frame, u32 bytes, u32 own);
/* Sends a request and waits for its answer. False: there is none, or its data are wrong. */
bool icmp_ping(u32 own, u32 address, const u8 *mac, u16 sequence, u64 deadline);

#endif
