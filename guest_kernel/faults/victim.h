/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device that is driven in a hostile way. */
#ifndef VICTIM_H
#define VICTIM_H
#include "guest_kernel/bus/device.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* Takes NAME and a device's number, 0 if it is left out, off a line. NULL: there is no name. No device: NULL. */
const char *victim_parse(char **line, struct virtio_device **device);
u32 victim_queues(const struct virtio_device *device);
struct virtqueue *victim_queue(struct virtio_device *device); /* the one that it reads */
void victim_open(struct virtio_device *device); /* with no features: its driver's state is lost */
bool victim_broken(struct virtio_device *device, u64 ns); /* within this time */
void victim_release(struct virtio_device *device); /* to its own driver */

#endif
