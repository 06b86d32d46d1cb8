/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network: a static address, ARP and ping. */
#ifndef NETWORK_H
#define NETWORK_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define ADDRESS_FORMAT "%u.%u.%u.%u"
#define ADDRESS_PARTS(address) (address) >> 24, (address) >> 16 & 0xFF, (address) >> 8 & 0xFF, (address) & 0xFF

bool network_parse(const char *text, u32 *address); /* A.B.C.D; false: it is none */
bool network_start(u32 address); /* and answers from then on; a new address replaces the old; false: no card */
u32 network_address(void); /* 0: it was not started */
void network_ping(u32 address, u32 count);

#endif
