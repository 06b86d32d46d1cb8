/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The three parts of a split virtqueue in memory. Source: Virtual I/O Device (VIRTIO) 1.2, section 2.7. */
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
