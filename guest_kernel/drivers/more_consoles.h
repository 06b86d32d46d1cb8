/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Consoles behind the first. */
#ifndef MORE_CONSOLES_H
#define MORE_CONSOLES_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define LINE_MOST 128

bool console_tell(u32 number, const char *text); /* number from 1; false: there is no such console */
const char *console_hear(u32 number); /* waits for a line, which is cut at LINE_MOST - 1 bytes; NULL: as above */

#endif
