/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ethernet, ARP, IPv4 and ICMP, as they are on the wire. Sources: RFC 826 (ARP), RFC 791 (IPv4), RFC 792 (ICMP).
 * Numbers are big-endian there: be16() and be32() turn them both ways. An address is a number, the first byte highest.
 */
#ifndef PACKETS_H
#define PACKETS_H
#include "guest_kernel/drivers/net.h"
#include "switcher/layouts/types.h"

#define PACKED __attribute__((packed))

#define ETHERNET_IPV4 0x0800
#define ETHERNET_ARP  0x0806

struct ethernet {
	u8 to[MAC_BYTES];
	u8 from[MAC_BYTES];
	u16 type;
} PACKED;

#define ARP_ETHERNET 1
#define ARP_REQUEST  1
#define ARP_REPLY    2

struct arp {
	struct ethernet ethernet;
	u16 hardware;
	u16 protocol;
	u8 mac_bytes;
	u8 address_bytes;
	u16 operation;
	u8 sender_mac[MAC_BYTES];
	u32 sender;
	u8 target_mac[MAC_BYTES];
	u32 target;
} PACKED;

#define IPV4_VERSION  0x45 /* and a header of five words */
#define IPV4_BYTES    20
#define IPV4_FRAGMENT 0x3FFF /* more follow, or an offset */
#define IPV4_TTL      64
#define IPV4_ICMP     1

struct ipv4 {
	struct ethernet ethernet;
	u8 version;
	u8 service;
	u16 bytes; /* with this header */
	u16 id;
	u16 fragment;
	u8 ttl;
	u8 protocol;
	u16 checksum;
	u32 from;
	u32 to;
} PACKED;

#define ICMP_ECHO_REPLY   0
#define ICMP_ECHO_REQUEST 8
#define ICMP_BYTES        8

struct icmp {
	struct ipv4 ipv4;
	u8 type;
	u8 code;
	u16 checksum;
	u16 id;
	u16 sequence;
	u8 data[FRAME_BYTES - 14 - IPV4_BYTES - ICMP_BYTES];
} PACKED;

static inline u16 be16(u16 value)
{
	return __builtin_bswap16(value);
}

static inline u32 be32(u32 value)
{
	return __builtin_bswap32(value);
}

#endif
