/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes, and what goes between them.  Read before: bench.h. */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

BENCH(forks, "fork", 1) /* and the child's exit, waited for */
{
	u64 start;

	do {
		s32 child;

		start = now();
		child = fork();
		if (!child)
			leave(0);
		waitpid(child, NULL, 0);
	} while (sample(now() - start));
	MUST(waitpid(-1, NULL, 0) == -ECHILD ? 0 : -EIO);
}

BENCH(execs, "exec", 1) /* a fork; the child executes this program, which exits at once, and is waited for */
{
	static char *const arguments[] = { EXIT_NAME, NULL };
	s32 status;
	u64 start;

	do {
		s32 child;

		start = now();
		child = fork();
		if (!child) {
			execve("/init", arguments, arguments + 1);
			leave(1);
		}
		waitpid(child, &status, 0);
	} while (sample(now() - start));
	MUST(status ? -EIO : 0);
}

/* A process that sends back each byte that it gets. */
struct echo {
	s32 process, to, from;
};

static void echo_start(struct echo *echo)
{
	s32 there[2], back[2];
	u8 byte;

	MUST(pipe(there));
	MUST(pipe(back));
	echo->process = MUST(fork());
	if (!echo->process) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1)
			write(back[1], &byte, 1);
		leave(0);
	}
	close(there[0]);
	close(back[1]);
	echo->to = there[1];
	echo->from = back[0];
}

static void round_trip(const struct echo *echo)
{
	u8 byte = 0;

	write(echo->to, &byte, 1);
	read(echo->from, &byte, 1);
}

static void echo_stop(const struct echo *echo)
{
	close(echo->to);
	close(echo->from);
	MUST(child_ended(echo->process) ? -EIO : 0);
}

/* So many a sample. */
static inline __attribute__((always_inline)) void measure_trips(u32 trips)
{
	struct echo echo;
	u64 start;

	echo_start(&echo);
	round_trip(&echo);
	do {
		start = now();
		for (u32 trip = 0; trip < trips; trip++)
			round_trip(&echo);
	} while (sample(now() - start));
	echo_stop(&echo);
}

BENCH(pipes, "pipe", 1) /* a byte there and back */
{
	measure_trips(1);
}

#define TRIPS 10

BENCH(switches, "context-switch", 2 * TRIPS) /* each by a byte through a pipe */
{
	measure_trips(TRIPS);
}

#define COPIED 64

BENCH(cow, "cow", COPIED) /* the first write to a page that a child shares */
{
	volatile u8 *area = pages(COPIED);
	struct echo child;
	bool more;

	do {
		u64 start;

		touch(area, COPIED);
		echo_start(&child);
		round_trip(&child); /* it has read its byte, and waits for the next */
		start = now();
		touch(area, COPIED);
		more = sample(now() - start);
		echo_stop(&child);
	} while (more);
	free_pages(area, COPIED);
}
