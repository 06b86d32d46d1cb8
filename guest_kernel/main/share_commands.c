/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that use a shared folder.
 *
 * Read next: guest_kernel/faults/faults.c, guest_kernel/tests/test.c.
 */
#include "guest_kernel/base/crc32.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/main/arguments.h"
#include "guest_kernel/main/device_commands.h"
#include "guest_kernel/share/share.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define NAME_BYTES 256

static bool good(const char *command, const char *name, u32 error)
{
	if (error == SHARE_NONE)
		print("%s: no shared folder\n", command);
	else if (error)
		print("%s: %s: error %u\n", command, name, error);
	return !error;
}

static bool mount(const char *command, u32 number)
{
	return good(command, "share", share_mount(number));
}

static bool open(const char *command, const char *path, u32 flags)
{
	return (share_mounted() || mount(command, 0)) && good(command, path, share_open(path, flags));
}

void share_command(char *arguments)
{
	u32 number;
	if (argument_optional(&arguments, "share", &number, 0) && mount("share", number))
		print("share %u\n", number);
}

void ls_command(char *path)
{
	static char text[NAME_BYTES];
	const char *name;
	u64 cookie = 0;
	u32 length;
	if (!open("ls", path, SHARE_DIRECTORY))
		return;
	while (good("ls", path, share_entry(&cookie, &name, &length)) && length) {
		memory_copy(text, name, length < NAME_BYTES ? length : NAME_BYTES - 1);
		text[length < NAME_BYTES ? length : NAME_BYTES - 1] = 0;
		print("%s\n", text);
	}
	share_close();
}

static void show(const u8 *data, u32 bytes)
{
	while (bytes--)
		print("%c", *data++);
}

/* Reads a whole file, shows it or not, and returns whether that worked. */
static bool read_all(const char *command, const char *path, bool shown, u64 *size, u32 *sum)
{
	const u8 *data;
	u32 bytes;
	*size = *sum = 0;
	if (!open(command, path, SHARE_READ))
		return false;
	bool well;
	while ((well = good(command, path, share_read(*size, &data, &bytes))) && bytes) {
		*sum = crc32(*sum, data, bytes);
		*size += bytes;
		if (shown)
			show(data, bytes);
	}
	share_close();
	return well;
}

void cat_command(char *path)
{
	u64 size;
	u32 sum;
	read_all("cat", path, true, &size, &sum);
}

void crc_command(char *path)
{
	u64 size;
	u32 sum;
	if (read_all("crc", path, false, &size, &sum))
		print("sum %08x of %u bytes\n", sum, (u32)size);
}

void put_command(char *arguments)
{
	const char *path = argument_word(&arguments);
	if (!(share_mounted() || mount("put", 0)) || !good("put", path, share_create(path)))
		return;
	if (good("put", path, share_write(0, arguments, text_length(arguments))))
		print("written\n");
	share_close();
}
