/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of what a hostile driver does. */
#ifndef ABUSE_H
#define ABUSE_H
#include "guest_kernel/bus/device.h"
#include "switcher/layouts/types.h"

struct abuse {
	const char *name;
	const char *about;
	void (*run)(struct virtio_device *device); /* the device was just opened: its rings are empty */
};

extern const struct abuse abuses[];
extern const u32 abuse_count;
extern const struct abuse pci_abuses[]; /* of registers that only PCI has */
extern const u32 pci_abuse_count;

#endif
