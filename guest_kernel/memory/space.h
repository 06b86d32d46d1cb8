/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program's address space: layout.h says what is where. */
#ifndef SPACE_H
#define SPACE_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* A fault at address: give it a page there, if one belongs there and none is. */
bool space_demand(u32 directory, u32 address);

#endif
