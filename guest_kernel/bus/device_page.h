/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device page of lguest's generation 1. */
#ifndef DEVICE_PAGE_H
#define DEVICE_PAGE_H
#include "guest_kernel/bus/device.h"
#include "switcher/layouts/types.h"

u32 device_page_scan(struct virtio_device *devices, u32 most); /* returns how many there are */

#endif
