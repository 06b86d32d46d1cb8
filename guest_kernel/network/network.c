/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network's task takes each frame that arrives. It answers ARP and ping, and wakes the task that pings.
 *
 * Read next: guest_kernel/share/share.c.
 */
#include "guest_kernel/network/network.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/drivers/net.h"
#include "guest_kernel/network/arp.h"
#include "guest_kernel/network/icmp.h"
#include "guest_kernel/network/packets.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PARTS 4

static u32 own;

bool network_parse(const char *text, u32 *address)
{
	char part[PARTS];
	*address = 0;
	for (u32 i = 0; i < PARTS; i++) {
		u32 length = 0, number;
		while (text[length] && text[length] != '.')
			length++;
		if (length >= sizeof(part) || (text[length] == '.') != (i + 1 < PARTS))
			return false;
		text_copy(part, text, length + 1);
		if (!text_number(part, &number) || number > 0xFF)
			return false;
		*address = *address << 8 | number;
		text += length + 1;
	}
	return *address;
}

static void receive(void)
{
	const u8 *frame;
	u32 bytes;
	while ((frame = net_receive(&bytes))) {
		u16 type = bytes >= sizeof(struct ethernet) ? be16(((const struct ethernet *)frame)->type) : 0;
		if (type == ETHERNET_ARP)
			arp_input(frame, bytes, own);
		else if (type == ETHERNET_IPV4)
			icmp_input(frame, bytes, own);
		net_release(frame);
	}
	print("the network card was reset\n");
	own = 0;
	task_exit(1);
}

bool network_start(u32 address)
{
	if (!own) {
		if (!net_open())
			return false;
		struct task *task = task_kernel("network", receive);
		if (!task)
			return false;
		task->detached = true;
	}
	own = address;
	return true;
}

u32 network_address(void)
{
	return own;
}

void network_ping(u32 address, u32 count)
{
	const u8 *mac = arp_find(address, own);
	u32 answers = 0;
	if (!mac) {
		print("nobody has the address " ADDRESS_FORMAT "\n", ADDRESS_PARTS(address));
		return;
	}
	for (u32 i = 1; i <= count; i++) {
		u64 from = clock_ns(), us;
		if (!icmp_ping(own, address, mac, (u16)i, from + NS_PER_SECOND)) {
			print(ADDRESS_FORMAT ": no answer to %u\n", ADDRESS_PARTS(address), i);
			continue;
		}
		divide64(clock_ns() - from, NS_PER_US, &us);
		print("%u bytes from " ADDRESS_FORMAT ": sequence %u, %u us\n", PING_BYTES + 8, ADDRESS_PARTS(address), i,
		      (u32)us);
		answers++;
	}
	print("%u of %u answered\n", answers, count);
}
