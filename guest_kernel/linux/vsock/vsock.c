/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of virtio-vsock: programs of a Linux Guest at an AF_VSOCK socket, which busybox has no tool for.
 *   vsock connect PORT       a port of the Host: from stdin to it, and from it to stdout, each to its end
 *   vsock listen PORT        the same for who connects to a port of the Guest first
 *   vsock echo PORT COUNT    send back what COUNT connections, each of them in a process, send
 *   vsock send PORT BYTES    give who connects so many bytes, and wait for its end
 *   vsock open PORT COUNT    so many connections to a port of the Host; prints "OPENED n" at the first that fails
 * Source: Linux's manual, vsock(7), socketcall(2), shutdown(2).
 */
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

enum { NR_SOCKETCALL = 102, SOCKET = 1, BIND = 2, CONNECT = 3, LISTEN = 4, ACCEPT = 5, SHUTDOWN = 13 };
enum { AF_VSOCK = 40, STREAM = 1, SHUT_WR = 1, ANY_CID = -1, HOST_CID = 2 };
#define PART 65536u

struct address { /* struct sockaddr_vm */
	u16 family, reserved;
	u32 port, cid;
	u8 flags, zero[3];
};

static u8 buffer[PART];

static s32 call(u32 number, u32 first, u32 second, u32 third)
{
	return CALL(NR_SOCKETCALL, number, (u32)(u32[]){ first, second, third });
}

static s32 make_socket(void)
{
	return MUST(call(SOCKET, AF_VSOCK, STREAM, 0));
}

static s32 connected(u32 port)
{
	struct address host = { .family = AF_VSOCK, .port = port, .cid = HOST_CID };
	s32 file = make_socket(), error = call(CONNECT, (u32)file, (u32)&host, sizeof(host));

	if (error < 0)
		close(file);
	return error < 0 ? error : file;
}

static s32 listening(u32 port)
{
	struct address any = { .family = AF_VSOCK, .port = port, .cid = (u32)ANY_CID };
	s32 file = make_socket();

	MUST(call(BIND, (u32)file, (u32)&any, sizeof(any)));
	MUST(call(LISTEN, (u32)file, 64, 0));
	print("LISTENING %u\n", port);
	return file;
}

static s32 accepted(s32 listener)
{
	return MUST(call(ACCEPT, (u32)listener, 0, 0));
}

static void write_all(s32 file, const u8 *data, u32 bytes)
{
	while (bytes) {
		u32 part = (u32)MUST(write(file, data, bytes));

		data += part;
		bytes -= part;
	}
}

static void copy(s32 from, s32 to)
{
	u32 bytes;

	while ((bytes = (u32)MUST(read(from, buffer, PART))))
		write_all(to, buffer, bytes);
}

/* Both directions at once. */
static s32 both(s32 file)
{
	s32 child = MUST(fork());

	if (!child) {
		copy(0, file);
		MUST(call(SHUTDOWN, (u32)file, SHUT_WR, 0));
		leave(0);
	}
	copy(file, 1);
	return child_ended(child);
}

static s32 echo(u32 port, u32 count)
{
	s32 listener = listening(port), status = 0, file;

	for (u32 number = 0; number < count; number++) {
		file = accepted(listener);
		if (!MUST(fork())) {
			copy(file, file);
			leave(0);
		}
		MUST(close(file));
	}
	while (count--)
		status |= child_ended(-1);
	return status;
}

static s32 send(u32 port, u32 bytes)
{
	s32 file = accepted(listening(port));

	for (u32 place = 0; place < PART; place++)
		buffer[place] = (u8)(place * 7 % 251);
	while (bytes) {
		u32 part = bytes < PART ? bytes : PART;

		write_all(file, buffer, part);
		bytes -= part;
	}
	MUST(call(SHUTDOWN, (u32)file, SHUT_WR, 0));
	copy(file, 1);
	return 0;
}

static s32 open_many(u32 port, u32 count)
{
	u32 done = 0;
	s32 error = 0;

	while (done < count && (error = connected(port)) >= 0)
		done++;
	print("OPENED %u, error %d\n", done, error < 0 ? -error : 0);
	return 0;
}

static s32 program(u32 argc, char **argv, char **envp)
{
	u32 port, count;

	(void)envp;
	MUST(argc >= 3 ? 0 : -EINVAL);
	port = number_of(argv[2]);
	count = argc > 3 ? number_of(argv[3]) : 1;
	if (text_same(argv[1], "connect"))
		return both(MUST(connected(port)));
	if (text_same(argv[1], "listen"))
		return both(accepted(listening(port)));
	if (text_same(argv[1], "echo"))
		return echo(port, count);
	if (text_same(argv[1], "send"))
		return send(port, count);
	if (text_same(argv[1], "open"))
		return open_many(port, count);
	return MUST(-EINVAL);
}

PROGRAM_MAIN(program);
