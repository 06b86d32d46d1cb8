/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of a command. */
#ifndef ARGUMENTS_H
#define ARGUMENTS_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* Takes the first word off a line, and terminates it. An empty word: there is none. */
char *argument_word(char **line);
/* Takes a number off a line. False, with a message: the next word is none. */
bool argument_number(char **line, const char *what, u32 *number);
/* The same; `otherwise` where the line has ended. */
bool argument_optional(char **line, const char *what, u32 *number, u32 otherwise);

#endif
