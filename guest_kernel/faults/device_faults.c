/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `abuse` command: a hostile driver, for one device of the list that `devices` prints. Afterwards the device is
 * opened again, so that its own driver must find it as new.
 *
 * Read next: fuzz.c, which does the same at random.
 */
#include "guest_kernel/faults/device_faults.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/faults/abuse.h"
#include "guest_kernel/faults/victim.h"
#include "guest_kernel/tasks/clock.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define WAIT_NS (500 * (u64)NS_PER_MS) /* for the Launcher to see it */

static const struct abuse *find(const struct abuse *table, u32 count, const char *name)
{
	for (u32 i = 0; i < count; i++) {
		if (text_equal(table[i].name, name))
			return &table[i];
	}
	return NULL;
}

static void list(const struct abuse *table, u32 count)
{
	for (u32 i = 0; i < count; i++)
		print("  %-12s%s\n", table[i].name, table[i].about);
}

void abuse_command(char *arguments)
{
	struct virtio_device *device;
	const char *name = victim_parse(&arguments, &device);
	if (!name) {
		list(abuses, abuse_count);
		print("on PCI alone:\n");
		list(pci_abuses, pci_abuse_count);
		return;
	}
	const struct abuse *abuse = find(abuses, abuse_count, name);
	if (!abuse && device && !device->transport->legacy)
		abuse = find(pci_abuses, pci_abuse_count, name);
	if (!device || !abuse) {
		print("abuse %s: %s\n", name, device ? "no such abuse here; try: abuse" : "no such device; try: devices");
		return;
	}
	victim_open(device);
	abuse->run(device);
	bool broken = victim_broken(device, WAIT_NS);
	victim_release(device);
	print("abuse %s: %s\n", name, broken ? "the device needed a reset" : "the device goes on");
}
