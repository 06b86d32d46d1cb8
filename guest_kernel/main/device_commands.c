/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands: the list of devices, random bytes, consoles.
 *
 * Read next: disk_commands.c.
 */
#include "guest_kernel/main/device_commands.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/drivers/entropy.h"
#include "guest_kernel/drivers/more_consoles.h"
#include "guest_kernel/main/arguments.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define RANDOM_BYTES 16
#define COLUMNS 0 /* in the console's configuration space */
#define ROWS    2

static const char *type_name(u32 type)
{
	static const char *const names[] = {
		[VIRTIO_NET] = "net", [VIRTIO_BLOCK] = "block", [VIRTIO_CONSOLE] = "console", [VIRTIO_ENTROPY] = "entropy",
		[VIRTIO_9P] = "9p", [VIRTIO_VSOCK] = "vsock",
	};
	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "unknown";
}

void devices_command(char *arguments)
{
	(void)arguments;
	for (u32 i = 0; i < virtio_count(); i++) {
		const struct virtio_device *device = virtio_at(i);
		print("%s %u: %s, type %u, features %#x, %s", device->transport->name,
		      device->transport->legacy ? i : device->slot, type_name(device->type), device->type,
		      device->features, device->broken ? "broken" : device->open ? "in use" : "not used");
		for (u32 irq = 0; irq < LGUEST_IRQS; irq++) {
			if (device->irqs & 1u << irq)
				print(", interrupt %u", irq);
		}
		print("\n");
	}
}

void random_command(char *arguments)
{
	u32 bytes;
	if (!argument_optional(&arguments, "random", &bytes, RANDOM_BYTES))
		return;
	while (bytes) {
		u32 got = bytes;
		const u8 *random = entropy_read(&got);
		if (!random) {
			print("random: no entropy device\n");
			return;
		}
		if (got > bytes)
			got = bytes;
		for (u32 i = 0; i < got; i++)
			print("%02x", random[i]);
		bytes -= got;
	}
	print("\n");
}

void tell_command(char *arguments)
{
	u32 number;
	if (argument_number(&arguments, "tell", &number) && !console_tell(number, arguments))
		print("tell: no console %u\n", number);
}

void hear_command(char *arguments)
{
	u32 number;
	if (!argument_number(&arguments, "hear", &number))
		return;
	const char *line = console_hear(number);
	if (line)
		print("console %u: %s\n", number, line);
	else
		print("hear: no console %u\n", number);
}

void size_command(char *arguments)
{
	const struct virtio_device *console = console_device();
	(void)arguments;
	if (console && console->features & CONSOLE_FEATURE_SIZE)
		print("%u columns, %u rows\n", virtio_config16(console, COLUMNS), virtio_config16(console, ROWS));
	else
		print("the console does not tell its size\n");
}
