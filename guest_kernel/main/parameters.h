/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words of the kernel's command line. */
#ifndef PARAMETERS_H
#define PARAMETERS_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PARAMETER_RUN "run=" /* all text up to the end of the line belongs to it, or run="..." what is quoted */

/* Copies what follows a name such as "ip=", which starts a word. False: no word does. */
bool parameter(const char *command_line, const char *name, char *value, u32 room);

#endif
