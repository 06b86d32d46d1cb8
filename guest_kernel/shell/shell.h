/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The prompt. */
#ifndef SHELL_H
#define SHELL_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define COMMAND_LINE 2048
#define LINE_ROOM    256

struct command {
	const char *name;
	const char *arguments;
	const char *about;
	void (*run)(char *arguments);
};

extern const struct command commands[];
extern const u32 command_count;

/* A task that runs what stands behind "run=" on the kernel's command line and powers off; or else the prompt. */
void shell_start(char *command_line);

#endif
