/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of a command. */
#include "guest_kernel/main/arguments.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

char *argument_word(char **line)
{
	char *end;
	while (text_is_space(**line))
		(*line)++;
	char *word = end = *line;
	while (*end && !text_is_space(*end))
		end++;
	*line = end;
	if (*end)
		*(*line)++ = 0;
	while (text_is_space(**line))
		(*line)++;
	return word;
}

bool argument_number(char **line, const char *what, u32 *number)
{
	const char *word = argument_word(line);
	if (text_number(word, number))
		return true;
	print("%s: a number is needed, not \"%s\"\n", what, word);
	return false;
}

bool argument_optional(char **line, const char *what, u32 *number, u32 otherwise)
{
	*number = otherwise;
	return !**line || argument_number(line, what, number);
}
