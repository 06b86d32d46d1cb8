/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The prompt: a kernel task that reads a line, finds the command and runs it. "run=COMMAND;COMMAND" on the kernel's
 * command line replaces the prompt.
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
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define LINE_BYTES 256

static char *to_run;

static char *strip(char *text)
{
	while (text_is_space(*text))
		text++;
	u32 length = text_length(text);
	while (length && text_is_space(text[length - 1]))
		text[--length] = 0;
	return text;
}

/* False: there is no such command. */
static bool run(char *line)
{
	char *name = strip(line), *rest = name;
	if (!*name)
		return true;
	while (*rest && !text_is_space(*rest))
		rest++;
	if (*rest)
		*rest++ = 0;
	for (u32 i = 0; i < command_count; i++) {
		if (text_equal(commands[i].name, name)) {
			commands[i].run(strip(rest));
			return true;
		}
	}
	print("no command %s; try: help\n", name);
	return false;
}

static void run_all(char *text)
{
	text = strip(text);
	if (!*text)
		panic("run= names no command");
	while (*text) {
		char *end = text;
		while (*end && *end != ';')
			end++;
		bool more = *end;
		*end = 0;
		if (!run(text)) /* a command that follows could report success */
			panic("run= names a command that there is not");
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

void shell_start(char *commands)
{
	to_run = commands;
	if (!task_kernel("shell", shell))
		panic("no room for the shell");
}
