/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The three parts of a split virtqueue in memory. Source: Virtual I/O Device (VIRTIO) 1.2, section 2.7. */
#ifndef VRING_H
#define VRING_H
#include "switcher/layouts/types.h"

#define DESC_NEXT     1 /* the chain goes on at next */
#define DESC_WRITE    2 /* the device writes to the buffer */
#define DESC_INDIRECT 4

#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY     1

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
