/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first network card: the other end is a server of lguest_py/bench/device_net.py, at the gateway of the rootless
 * network. Its port takes CHUNK bytes and answers with one, or answers each byte with CHUNK bytes; the same port of UDP
 * sends datagrams back. Source: Linux's socketcall(2), ip(7). Read before: devices.c.
 */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"

#define CHUNK (1u << 20)
#define PART (256u << 10) /* bytes of one system call */
#define GATEWAY 0x0A000202u
#define WAIT_SECONDS 1

extern u16 network_port; /* devices.c */

enum { NR_SOCKETCALL = 102, SOCKET = 1, CONNECT = 3, SETSOCKOPT = 14 };
enum { INET = 2, TCP = 1, UDP = 2, SOL_SOCKET = 1, SO_RCVTIMEO = 20 };

struct address {
	u16 family, port; /* the port and the address in network order */
	u32 ip;
	u8 zero[8];
};

static u32 network_order(u32 value)
{
	return __builtin_bswap32(value);
}

static s32 connected(u32 type)
{
	struct address gateway = { .family = INET, .port = __builtin_bswap16(network_port), .ip = network_order(GATEWAY) };
	s32 file = MUST(CALL(NR_SOCKETCALL, SOCKET, (u32)(u32[]){ INET, type, 0 }));

	MUST(CALL(NR_SOCKETCALL, CONNECT, (u32)(u32[]){ (u32)file, (u32)&gateway, sizeof(gateway) }));
	return file;
}

/* Read or write so many bytes. */
static void whole(s32 (*move)(s32, u8 *, u32), s32 file, u8 *buffer, u32 bytes)
{
	while (bytes) {
		s32 count = MUST(move(file, buffer, bytes < PART ? bytes : PART));

		MUST(count ? 0 : -EIO);
		bytes -= (u32)count;
	}
}

static s32 in(s32 file, u8 *buffer, u32 bytes)
{
	return read(file, buffer, bytes);
}

static s32 out(s32 file, u8 *buffer, u32 bytes)
{
	return write(file, buffer, bytes);
}

static void stream(char direction)
{
	volatile u8 *buffer = pages(PART / PAGE);
	s32 file = connected(TCP);
	u64 start;
	u8 byte = (u8)direction;

	touch(buffer, PART / PAGE);
	whole(out, file, &byte, 1);
	do {
		start = now();
		whole(out, file, direction == 's' ? (u8 *)buffer : &byte, direction == 's' ? CHUNK : 1);
		whole(in, file, direction == 's' ? &byte : (u8 *)buffer, direction == 's' ? 1 : CHUNK);
	} while (sample(now() - start));
	MUST(close(file));
	free_pages(buffer, PART / PAGE);
}

BENCH(net_send, "net-send", 1)
{
	stream('s');
}

BENCH(net_receive, "net-receive", 1)
{
	stream('r');
}

BENCH(net_ping, "net-ping", 1)
{
	s32 file = connected(UDP);
	u8 datagram[56] = { 0 };
	u64 start, end;
	s32 count;

	MUST(CALL(NR_SOCKETCALL, SETSOCKOPT,
		  (u32)(u32[]){ (u32)file, SOL_SOCKET, SO_RCVTIMEO, (u32)(u32[]){ WAIT_SECONDS, 0 }, 2 * sizeof(u32) }));
	do {
		start = now();
		MUST(write(file, datagram, sizeof(datagram)));
		count = read(file, datagram, sizeof(datagram)); /* one that is lost is no sample */
		end = now();
		if (count != -EAGAIN)
			MUST(count);
	} while (count < 0 || sample(end - start));
	MUST(close(file));
}
