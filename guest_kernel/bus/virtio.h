/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The devices that were found, on either bus, and what their drivers need. */
#ifndef VIRTIO_H
#define VIRTIO_H
#include "guest_kernel/bus/device.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

/* VIRTIO 1.2, section 5. */
#define VIRTIO_NET     1
#define VIRTIO_BLOCK   2
#define VIRTIO_CONSOLE 3
#define VIRTIO_ENTROPY 4
#define VIRTIO_9P      9
#define VIRTIO_VSOCK   19

void virtio_init(void); /* finds the devices */
u32 virtio_count(void);
struct virtio_device *virtio_at(u32 index);
struct virtio_device *virtio_find(u32 type, u32 number); /* the number-th of a type, from 0; NULL: there is none */

/*
 * Resets a device and starts it, with those of the wanted features that it offers. False: it cannot be driven. Again
 * after virtio_reset() or when the device is broken.
 */
bool virtio_open(struct virtio_device *device, u32 queues, u32 wanted);
void virtio_reset(struct virtio_device *device);
bool virtio_works(const struct virtio_device *device); /* it is open, and did not say that it needs a reset */
bool virtio_broken(struct virtio_device *device); /* asks it: it needs a reset */

/* Fields of the configuration space, little-endian. */
u8 virtio_config8(const struct virtio_device *device, u32 offset);
u16 virtio_config16(const struct virtio_device *device, u32 offset);
u32 virtio_config32(const struct virtio_device *device, u32 offset);

void virtio_kick(struct virtio_device *device, u32 queue);
/* Waits for a used chain until a time in clock_ns(). False: none came, or the device does not work. */
bool virtio_wait(struct virtio_device *device, u32 queue, u64 deadline);

#endif
