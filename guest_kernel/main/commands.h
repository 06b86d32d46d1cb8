/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of commands. */
#ifndef COMMANDS_H
#define COMMANDS_H
#include "switcher/layouts/types.h"

struct command {
	const char *name;
	const char *arguments;
	const char *about;
	void (*run)(char *arguments);
};

extern const struct command commands[];
extern const u32 command_count;

#endif
