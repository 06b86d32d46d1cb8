/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP echo in IPv4 packets without options and fragments. The data of a request are its own sequence number, so that
 * an answer that was changed on the way is no answer.
 *
 * Read next: network.c.
 */
#include "guest_kernel/network/icmp.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/drivers/net.h"
#include "guest_kernel/network/packets.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define PING_ID      0x6C67
#define ICMP_HEADERS (sizeof(struct ipv4) + ICMP_BYTES)

static u32 answered_by;
static u16 answered; /* the sequence number of the last good answer */

/* The complement of the sum: RFC 1071. It is 0 over data that contain their own checksum. */
static u16 checksum(const void *data, u32 bytes)
{
	const u8 *at = data;
	u32 sum = 0;
	for (u32 i = 0; i < bytes; i++)
		sum += i % 2 ? at[i] : (u32)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return be16((u16)~sum);
}

static void send(struct icmp *packet, u32 own, u32 to, const u8 *mac, u32 data_bytes)
{
	u32 bytes = ICMP_BYTES + data_bytes;
	struct ipv4 *ipv4 = &packet->ipv4;
	*ipv4 = (struct ipv4){
		.ethernet.type = be16(ETHERNET_IPV4),
		.version = IPV4_VERSION,
		.bytes = be16((u16)(IPV4_BYTES + bytes)),
		.ttl = IPV4_TTL,
		.protocol = IPV4_ICMP,
		.from = be32(own),
		.to = be32(to),
	};
	memory_copy(ipv4->ethernet.to, mac, MAC_BYTES);
	memory_copy(ipv4->ethernet.from, net_mac(), MAC_BYTES);
	ipv4->checksum = checksum(&ipv4->version, IPV4_BYTES);
	packet->checksum = 0;
	packet->checksum = checksum(&packet->type, bytes);
	net_send(packet, sizeof(*ipv4) + bytes);
}

static bool good_data(const struct icmp *packet, u32 bytes)
{
	u16 sequence = be16(packet->sequence);
	for (u32 i = 0; i < bytes; i++) {
		if (packet->data[i] != (u8)(sequence + i))
			return false;
	}
	return bytes == PING_BYTES;
}

void icmp_input(const void *frame, u32 bytes, u32 own)
{
	static struct icmp reply;
	const struct icmp *packet = frame;
	const struct ipv4 *ipv4 = &packet->ipv4;
	if (bytes < ICMP_HEADERS || ipv4->version != IPV4_VERSION || ipv4->protocol != IPV4_ICMP ||
	    be16(ipv4->fragment) & IPV4_FRAGMENT || be32(ipv4->to) != own || checksum(&ipv4->version, IPV4_BYTES))
		return;
	u32 length = be16(ipv4->bytes); /* a short frame is padded */
	if (length < IPV4_BYTES + ICMP_BYTES || length > bytes - sizeof(struct ethernet) ||
	    checksum(&packet->type, length - IPV4_BYTES))
		return;
	u32 data_bytes = length - IPV4_BYTES - ICMP_BYTES;
	if (packet->type == ICMP_ECHO_REQUEST) {
		memory_copy(&reply, packet, ICMP_HEADERS + data_bytes);
		reply.type = ICMP_ECHO_REPLY;
		send(&reply, own, be32(ipv4->from), ipv4->ethernet.from, data_bytes);
	} else if (packet->type == ICMP_ECHO_REPLY && be16(packet->id) == PING_ID && good_data(packet, data_bytes)) {
		answered_by = be32(ipv4->from);
		answered = be16(packet->sequence);
		task_wake(&answered);
	}
}

bool icmp_ping(u32 own, u32 address, const u8 *mac, u16 sequence, u64 deadline)
{
	static struct icmp request;
	request.type = ICMP_ECHO_REQUEST;
	request.code = 0;
	request.id = be16(PING_ID);
	request.sequence = be16(sequence);
	for (u32 i = 0; i < PING_BYTES; i++)
		request.data[i] = (u8)(sequence + i);
	answered_by = 0;
	send(&request, own, address, mac, PING_BYTES);
	while (clock_ns() < deadline) {
		if (answered_by == address && answered == sequence)
			return true;
		task_wait_until(&answered, deadline);
	}
	return false;
}
