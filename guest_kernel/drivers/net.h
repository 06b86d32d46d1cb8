/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network card: Ethernet frames. */
#ifndef NET_H
#define NET_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define MAC_BYTES   6
#define FRAME_BYTES 1514 /* the longest Ethernet frame, without its checksum */

bool net_open(void); /* false: there is no card */
const u8 *net_mac(void);
bool net_send(const void *frame, u32 bytes); /* false: it is too long, or the card does not work */
const u8 *net_receive(u32 *bytes); /* waits for a frame; NULL: the card was reset, or is broken */
void net_release(const u8 *frame); /* gives its buffer back to the device */

#endif
