/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chapter: Drivers. A Guest's devices are virtio devices, made for Guests: requests are buffers in memory, and rings in
 * memory say which buffers are ready and which are done. Each side notifies the other only when there is something to
 * do, because that costs a world switch. First comes the driver's side, in the tiny Guest: the rings, the two buses on
 * which a device is found, a console and a disk. Then comes the other end, in the Launcher, which trusts nothing that it
 * reads from a ring.
 *
 * The three parts of a split virtqueue in memory. Source: Virtual I/O Device (VIRTIO) 1.2, section 2.7.
 * Next in the book: virtqueue.c.
 */
#ifndef VRING_H
#define VRING_H
#include "switcher/layouts/virtio.h"

struct vring_desc {
	u64 address;
	u32 bytes;
	u16 flags;
	u16 next;
};

struct vring_avail {
	u16 flags;
	u16 index;
	u16 ring[];
};

struct vring_used_entry {
	u32 id;
	u32 bytes;
};

struct vring_used {
	u16 flags;
	u16 index;
	struct vring_used_entry ring[];
};

#endif
