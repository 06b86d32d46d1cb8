/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Line editing: echo, Backspace, Ctrl-U, Ctrl-C, Ctrl-D.
 *
 * Read next: guest_kernel/main/shell.c.
 */
#include "guest_kernel/console/line.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/console/console.h"
#include "switcher/layouts/types.h"

#define CTRL(letter) ((letter) - '@')
#define ESCAPE 0x1B
#define DEL 0x7F

static void erase(u32 count)
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
	static int last; /* Enter may be sent as CR LF */
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
			erase(length);
			length = 0;
		} else if (byte == DEL || byte == CTRL('H')) {
			erase(length > 0);
			length -= length > 0;
		} else if (byte >= ' ' && length + 1 < room) {
			line[length++] = (char)byte;
			print("%c", byte);
		}
	}
}
