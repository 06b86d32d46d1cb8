/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The prompt. */
#ifndef SHELL_H
#define SHELL_H

/* Starts a task that runs the commands after "run=" on the kernel's command line and powers off, or else prompts. */
void shell_start(char *command_line);

#endif
