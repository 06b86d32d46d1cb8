/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words of the kernel's command line. A word with white space is in double quotes, from its start or from its value's. */
#include "guest_kernel/main/parameters.h"
#include "guest_kernel/base/text.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* The length of a value. A quoted one begins behind its quote. */
static u32 value_length(const char *value, bool quoted, bool rest)
{
	u32 length = 0;
	for (; value[length]; length++) {
		bool last = !value[length + 1] || text_is_space(value[length + 1]);
		if (quoted ? value[length] == '"' && last : text_is_space(value[length]) && !rest)
			break;
	}
	return length;
}

bool parameter(const char *command_line, const char *name, char *value, u32 room)
{
	bool quoted = false, rest = text_equal(name, PARAMETER_RUN);
	for (const char *word = command_line; *word; word++) {
		bool starts = !quoted && (word == command_line || text_is_space(word[-1]));
		if (starts && text_starts(word, name)) {
			const char *from = word + text_length(name);
			bool in_quotes = *from == '"';
			u32 length = value_length(from + in_quotes, in_quotes, rest);
			text_copy(value, from + in_quotes, length < room ? length + 1 : room);
			return true;
		}
		if (starts && text_starts(word, PARAMETER_RUN) && word[sizeof(PARAMETER_RUN) - 1] != '"')
			return false; /* what follows is commands */
		if (*word == '"')
			quoted = !quoted;
	}
	return false;
}
