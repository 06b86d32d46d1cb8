/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The prompt: a kernel task that reads a line, finds the command and runs it. "run=COMMAND;COMMAND" on the kernel's
 * command line replaces the prompt; all text up to the end of the command line belongs to it.
 *
 * Read next: commands.c.
 */
#include "guest_kernel/main/shell.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/console/line.h"
#include "guest_kernel/cpu/power.h"
#include "guest_kernel/main/commands.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/user/programs.h"
#include "switcher/types.h"
#include <stdbool.h>

#define LINE_BYTES 256
#define RUN        "run="

static char *to_run;

static bool is_space(char character)
{
	return character == ' ' || character == '\t';
}

static char *strip(char *text)
{
	while (is_space(*text))
		text++;
	u32 length = text_length(text);
	while (length && is_space(text[length - 1]))
		text[--length] = 0;
	return text;
}

static void run(char *line)
{
	char *name = strip(line), *rest = name;
	if (!*name)
		return;
	while (*rest && !is_space(*rest))
		rest++;
	if (*rest)
		*rest++ = 0;
	for (u32 i = 0; i < command_count; i++) {
		if (text_equal(commands[i].name, name)) {
			commands[i].run(strip(rest));
			return;
		}
	}
	print("no command %s; try: help\n", name);
}

static void run_all(char *text)
{
	while (*text) {
		char *end = text;
		while (*end && *end != ';')
			end++;
		bool more = *end;
		*end = 0;
		run(text);
		text = end + more;
	}
	power_off();
}

static void prompt(void)
{
	static char line[LINE_BYTES];
	for (;;) {
		print("lguest> ");
		enum line_end end = line_read(line, sizeof(line));
		if (end != LINE_CANCELLED)
			run(line);
		if (end == LINE_ENDED)
			power_off();
	}
}

static void shell(void)
{
	struct task *rings = task_program("rings", program_rings, 0);
	if (rings)
		task_join(rings);
	if (to_run)
		run_all(to_run);
	if (!console_has_input())
		panic("no console to read from, and no run= on the command line");
	prompt();
}

void shell_start(char *command_line)
{
	for (char *word = command_line; *word; word++) {
		bool starts = word == command_line || is_space(word[-1]);
		if (starts && text_starts(word, RUN)) {
			to_run = word + sizeof(RUN) - 1;
			break;
		}
	}
	if (!task_kernel("shell", shell))
		panic("no room for the shell");
}
