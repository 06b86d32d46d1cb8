/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Line editing: echo, Backspace, Ctrl-U, Ctrl-C, Ctrl-D.
 *
 * Read next: shell.c.
 */
#include "guest_kernel/console/line.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/console/print.h"

#define CTRL(letter) ((letter) - '@')
#define ESCAPE 0x1B
#define DELETE 0x7F

static void rub_out(u32 count)
{
	while (count--)
		print("\b \b");
}

/* The next byte; 0 for a key that sends an escape sequence (an arrow: ESC [ A), which means nothing here. */
static int read_key(void)
{
	int byte = console_read();
	if (byte != ESCAPE)
		return byte;
	byte = console_read();
	if (byte != '[' && byte != 'O')
		return byte;
	do
		byte = console_read();
	while (byte >= ' ' && byte < '@');
	return byte >= '@' ? 0 : byte;
}

enum line_end line_read(char *line, u32 room)
{
	static int last; /* Enter may come as CR LF */
	u32 length = 0;
	for (;;) {
		int byte = read_key(), before = last;
		last = byte;
		if (byte == '\n' && before == '\r')
			continue;
		line[length] = 0;
		if (byte == '\r' || byte == '\n') {
			print("\n");
			return LINE_ENTERED;
		}
		if (byte == CTRL('C')) {
			print("^C\n");
			return LINE_CANCELLED;
		}
		if (byte == CTRL('D') || byte < 0) {
			print("\n");
			return LINE_ENDED;
		}
		if (byte == CTRL('U')) {
			rub_out(length);
			length = 0;
		} else if (byte == DELETE || byte == CTRL('H')) {
			rub_out(length > 0);
			length -= length > 0;
		} else if (byte >= ' ' && length + 1 < room) {
			line[length++] = (char)byte;
			print("%c", byte);
		}
	}
}
