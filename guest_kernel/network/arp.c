/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ARP. Every address is on this network: there is no gateway. What a request tells of its sender is remembered too.
 *
 * Read next: icmp.c.
 */
#include "guest_kernel/network/arp.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/drivers/net.h"
#include "guest_kernel/network/packets.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"

#define NEIGHBOURS 16
#define ATTEMPTS   5 /* of a second */

static struct neighbour {
	u32 address; /* 0: none */
	u8 mac[MAC_BYTES];
} neighbours[NEIGHBOURS];
static u32 oldest;

static struct neighbour *find(u32 address)
{
	for (u32 i = 0; i < NEIGHBOURS; i++) {
		if (neighbours[i].address == address)
			return &neighbours[i];
	}
	return NULL;
}

static void remember(u32 address, const u8 *mac)
{
	struct neighbour *neighbour = find(address);
	if (!neighbour) {
		neighbour = &neighbours[oldest];
		oldest = (oldest + 1) % NEIGHBOURS;
	}
	memory_copy(neighbour->mac, mac, MAC_BYTES);
	neighbour->address = address;
	task_wake(neighbours);
}

static void send(u16 operation, const u8 *to, u32 own, const u8 *target_mac, u32 target)
{
	struct arp packet = {
		.ethernet.type = be16(ETHERNET_ARP),
		.hardware = be16(ARP_ETHERNET),
		.protocol = be16(ETHERNET_IPV4),
		.mac_bytes = MAC_BYTES,
		.address_bytes = sizeof(own),
		.operation = be16(operation),
		.sender = be32(own),
		.target = be32(target),
	};
	memory_copy(packet.ethernet.to, to, MAC_BYTES);
	memory_copy(packet.ethernet.from, net_mac(), MAC_BYTES);
	memory_copy(packet.sender_mac, net_mac(), MAC_BYTES);
	memory_copy(packet.target_mac, target_mac, MAC_BYTES);
	net_send(&packet, sizeof(packet));
}

void arp_input(const void *frame, u32 bytes, u32 own)
{
	const struct arp *packet = frame;
	if (bytes < sizeof(*packet) || be16(packet->hardware) != ARP_ETHERNET || be16(packet->protocol) != ETHERNET_IPV4 ||
	    be32(packet->target) != own)
		return;
	if (packet->sender)
		remember(be32(packet->sender), packet->sender_mac);
	if (be16(packet->operation) == ARP_REQUEST)
		send(ARP_REPLY, packet->sender_mac, own, packet->sender_mac, be32(packet->sender));
}

const u8 *arp_find(u32 address, u32 own)
{
	static const u8 everybody[MAC_BYTES] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF }, unknown[MAC_BYTES];
	for (u32 attempt = 0; attempt < ATTEMPTS; attempt++) {
		u64 deadline = clock_ns() + NS_PER_SECOND;
		if (!find(address))
			send(ARP_REQUEST, everybody, own, unknown, address);
		while (!find(address) && clock_ns() < deadline)
			task_wait_until(neighbours, deadline);
		if (find(address))
			return find(address)->mac;
	}
	return NULL;
}
