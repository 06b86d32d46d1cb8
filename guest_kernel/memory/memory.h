/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical memory, a frame of 4096 bytes at a time. */
#ifndef MEMORY_H
#define MEMORY_H
#include "guest_kernel/cpu/hypercall.h"

#define PAGE 4096u

struct memory_use {
	u32 ram;    /* bytes of RAM */
	u32 kernel; /* bytes of the kernel's image, from 1 MiB on */
	u32 total;  /* frames that can be given out */
	u32 used;   /* of these, how many are */
};

void memory_init(void);
u32 frame_alloc(void); /* physical address of a zeroed frame; 0 when there is none */
u32 frame_need(void);  /* the same, but panics */
void frame_free(u32 frame); /* one of the kernel's own image is left alone */
struct memory_use memory_use(void);
u32 memory_ram(void); /* Guest-physical end of RAM: the device page is there */
u32 memory_mapped(void); /* how much of it the kernel maps */

extern char kernel_end[];

#endif
