/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PCI console's emergency write: text before any page table, interrupt or queue. */
#ifndef EMERGENCY_H
#define EMERGENCY_H
#include <stdbool.h>

bool emergency_find(void); /* false: there is no console on PCI */
void emergency_write(char character);

#endif
