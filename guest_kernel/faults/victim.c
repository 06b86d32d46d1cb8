/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device that is driven in a hostile way, and its way back to its own driver. */
#include "guest_kernel/faults/victim.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/device.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

const char *victim_parse(char **line, struct virtio_device **device)
{
	u32 number = 0;
	char *name = *line, *end = name;
	while (*end && !text_is_space(*end))
		end++;
	if (*end)
		*end++ = 0;
	bool well = !*end || text_number(end, &number);
	*device = well && number < virtio_count() ? virtio_at(number) : NULL;
	return *name ? name : NULL;
}

u32 victim_queues(const struct virtio_device *device)
{
	return device->type == VIRTIO_NET || device->type == VIRTIO_CONSOLE ? 2 : 1;
}

struct virtqueue *victim_queue(struct virtio_device *device)
{
	return &device->queues[victim_queues(device) - 1];
}

void victim_open(struct virtio_device *device)
{
	console_drain();
	virtio_reset(device);
	task_sleep(5 * NS_PER_MS); /* a task of its driver sees that */
	virtio_open(device, victim_queues(device), 0);
}

/* The question is answered before a kick that came first, so it is asked until the time is over. */
bool victim_broken(struct virtio_device *device, u64 ns)
{
	u64 deadline = clock_ns() + ns;
	while (!virtio_broken(device) && clock_ns() < deadline)
		task_sleep(5 * NS_PER_MS);
	return device->broken;
}

void victim_release(struct virtio_device *device)
{
	virtio_reset(device);
	if (device == console_device())
		console_init();
}
