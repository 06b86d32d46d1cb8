/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The prompt. */
#ifndef SHELL_H
#define SHELL_H

/* Starts a task that runs commands and powers off, or without any (NULL) prompts. */
void shell_start(char *commands);

#endif
