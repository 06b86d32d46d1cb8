/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical memory, allocated in page frames. */
#ifndef FRAMES_H
#define FRAMES_H
#include "switcher/layouts/types.h"

struct memory_use {
	u32 ram;    /* bytes of RAM */
	u32 kernel; /* bytes of the kernel's image */
	u32 total;  /* frames that can be allocated */
	u32 used;   /* frames that are allocated */
};

void frames_init(void);
u32 frame_alloc(void); /* physical address of a zeroed frame; 0 when there is none */
u32 frame_need(void);  /* the same, but panics */
void frame_free(u32 frame); /* ignores a frame of the kernel's image */
struct memory_use memory_use(void);
u32 memory_ram(void); /* Guest-physical end of RAM, where the device page is */
u32 memory_mapped(void); /* bytes of RAM that the kernel maps */

extern char kernel_end[]; /* guest_kernel.ld */

#endif
