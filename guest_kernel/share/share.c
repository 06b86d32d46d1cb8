/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files by 9P2000.L: version and attach make the connection, walk goes from the root to a file, then open, read,
 * write and clunk.
 *
 * Read next: guest_kernel/main/device_commands.c.
 */
#include "guest_kernel/share/share.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/share/message.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define VERSION     "9P2000.L"
#define ROOT        0 /* fids: our names for files */
#define FILE        1
#define NO_FID      0xFFFFFFFF
#define MOST_NAMES  16 /* in one walk */
#define QID_BYTES   13
#define READ_WRITE  2  /* flags of an open, and the mode of a new file, as in Linux */
#define TRUNCATE    01000
#define MODE        0644
#define NOT_FOUND   2
#define TOO_LONG    36

u32 share_mount(u32 number)
{
	u32 error;
	if (!message_open(number))
		return SHARE_NONE;
	message_start(P9_VERSION);
	message_put(MESSAGE_BYTES, 4);
	message_put_text(VERSION, sizeof(VERSION) - 1);
	error = message_send();
	if (error)
		return error;
	message_start(P9_ATTACH);
	message_put(ROOT, 4);
	message_put(NO_FID, 4);
	message_put_text("", 0);
	message_put_text("", 0);
	message_put(0, 4); /* root's user number */
	return message_send();
}

bool share_mounted(void)
{
	return message_ready();
}

/* Makes FILE stand for the first bytes of a path. */
static u32 walk(const char *path, u32 length)
{
	static const char *names[MOST_NAMES];
	u32 lengths[MOST_NAMES], count = 0;
	for (const char *end = path + length, *at = path; at < end;) {
		const char *start = at;
		while (at < end && *at != '/')
			at++;
		if (count == MOST_NAMES)
			return TOO_LONG;
		if (at > start) {
			names[count] = start;
			lengths[count++] = (u32)(at - start);
		}
		at++;
	}
	message_start(P9_WALK);
	message_put(ROOT, 4);
	message_put(FILE, 4);
	message_put(count, 2);
	for (u32 i = 0; i < count; i++)
		message_put_text(names[i], lengths[i]);
	u32 error = message_send();
	if (!error && message_get(2) != count)
		return NOT_FOUND; /* there is a part of the path, and FILE stands for nothing */
	return error;
}

/* Ends in an error that a caller returns: FILE must not stay. */
static u32 close_after(u32 error)
{
	if (error)
		share_close();
	return error;
}

u32 share_open(const char *path, u32 flags)
{
	u32 error = walk(path, text_length(path));
	if (error)
		return error;
	message_start(P9_LOPEN);
	message_put(FILE, 4);
	message_put(flags, 4);
	return close_after(message_send());
}

u32 share_create(const char *path)
{
	u32 length = text_length(path), folder = length;
	u32 error = share_open(path, READ_WRITE | TRUNCATE);
	if (error != NOT_FOUND)
		return error;
	while (folder && path[folder - 1] != '/')
		folder--;
	error = walk(path, folder);
	if (error)
		return error;
	message_start(P9_LCREATE);
	message_put(FILE, 4);
	message_put_text(path + folder, length - folder);
	message_put(READ_WRITE, 4);
	message_put(MODE, 4);
	message_put(0, 4);
	return close_after(message_send());
}

u32 share_read(u64 offset, const u8 **data, u32 *bytes)
{
	message_start(P9_READ);
	message_put(FILE, 4);
	message_put(offset, 8);
	message_put(SHARE_CHUNK, 4);
	u32 error = message_send();
	*bytes = error ? 0 : (u32)message_get(4);
	*data = message_get_bytes(*bytes);
	return error ? error : *data ? 0 : P9_BROKEN;
}

u32 share_write(u64 offset, const void *data, u32 bytes)
{
	message_start(P9_WRITE);
	message_put(FILE, 4);
	message_put(offset, 8);
	message_put(bytes, 4);
	message_put_bytes(data, bytes);
	u32 error = message_send();
	return error ? error : message_get(4) == bytes ? 0 : P9_BROKEN;
}

/* Asks for a buffer of entries and uses the first: simple, and long enough for any name. */
u32 share_entry(u64 *cookie, const char **name, u32 *length)
{
	message_start(P9_READDIR);
	message_put(FILE, 4);
	message_put(*cookie, 8);
	message_put(SHARE_CHUNK, 4);
	u32 error = message_send();
	*length = 0;
	if (error || !message_get(4))
		return error;
	message_get_bytes(QID_BYTES);
	*cookie = message_get(8);
	message_get(1); /* its kind */
	*length = (u32)message_get(2);
	*name = (const char *)message_get_bytes(*length);
	return *name ? 0 : P9_BROKEN;
}

void share_close(void)
{
	message_start(P9_CLUNK);
	message_put(FILE, 4);
	message_send();
}
