/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures devices from a Linux's programs: its arguments are names of measurements. Prints their samples and "BENCH done".
 * NET_PORT in its environment is the port of the other end of a network.  It is no init: one of lguest-py mkinitrd loads the drivers and runs it (lguest_py/bench/devices.py). A measurement is
 * registered as a benchmark is (guest_kernel/linux/bench/bench.h), by the name of its row.
 *
 * Read next: disk.c.
 */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define ROUNDS 200 /* samples without a new minimum that are enough */

#define PORT_VARIABLE "NET_PORT="

extern const struct bench __start_benches[], __stop_benches[];
u16 network_port;

BENCH(clock, "clock", 1)
{
	u64 start;

	do
		start = now();
	while (sample(now() - start));
}

/* Keep the value of this entry of the environment, if it is the port's. */
static void take_port(const char *entry)
{
	for (const char *name = PORT_VARIABLE; *name; name++, entry++)
		if (*entry != *name)
			return;
	network_port = (u16)number_of(entry);
}

static s32 program(u32 argc, char **argv, char **envp)
{
	for (; *envp; envp++)
		take_port(*envp);
	samples_start(ROUNDS);
	for (const struct bench *bench = __start_benches; bench < __stop_benches; bench++) {
		bool wanted = bench == &clock_bench;

		for (u32 number = 1; number < argc; number++)
			wanted |= text_same(argv[number], bench->name);
		if (wanted) {
			samples_of(bench);
			bench->run();
		}
	}
	samples_print();
	print("BENCH done\n");
	return 0;
}

PROGRAM_MAIN(program);
