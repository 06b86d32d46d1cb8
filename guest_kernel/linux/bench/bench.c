/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Process 1: runs the benchmarks, prints their samples and "BENCH done", and powers off; a failure restarts. On the
 * kernel's command line bench=NAME,… selects benchmarks, and rounds=N is the least number of samples of each. All output
 * comes at the end, because the console's interrupts would disturb the measurements.
 *
 * Read next: must.c, samples.c, and any other file here for the benchmarks.
 */
#include "guest_kernel/linux/bench/bench.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define ROUNDS 50

extern const struct bench __start_benches[], __stop_benches[];

/* The value of NAME=value, or null. */
static const char *environment(char **envp, const char *name)
{
	size_t length = strlen(name);

	for (; *envp; envp++)
		if (strlen(*envp) > length && !memcmp(*envp, name, length) && (*envp)[length] == '=')
			return *envp + length + 1;
	return NULL;
}

/* Whether a list with commas has this name. */
static bool listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	while (*list) {
		const char *start = list;

		while (*list && *list != ',')
			list++;
		if ((size_t)(list - start) == length && !memcmp(start, name, length))
			return true;
		list += *list == ',';
	}
	return false;
}

static u32 number(const char *text)
{
	u32 value = 0;

	for (; *text >= '0' && *text <= '9' && value < 100000; text++)
		value = value * 10 + (u32)(*text - '0');
	return value;
}

BENCH(clock, "clock", 1)
{
	u64 start;

	do
		start = now();
	while (sample(now() - start));
}

/* In the range of mmap(). Read-only, so that the kernel does not merge it with other memory. */
static void keep_a_page_table(void)
{
	const volatile u8 *page = (u8 *)MUST(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	(void)*page;
}

static s32 program(u32 argc, char **argv, char **envp)
{
	u64 started;
	static const struct bench boot = { "boot-to-init", 1, NULL }; /* absolute */
	const char *names, *rounds;

	if (argc && text_same(argv[0], EXIT_NAME))
		return 0;
	started = now();
	names = environment(envp, "bench");
	rounds = environment(envp, "rounds");
	samples_start(rounds ? number(rounds) : ROUNDS);
	samples_of(&boot);
	sample(started);
	keep_a_page_table();
	for (const struct bench *bench = __start_benches; bench < __stop_benches; bench++) {
		if (bench == &clock_bench || !names || listed(names, bench->name)) {
			samples_of(bench);
			bench->run();
		}
	}
	mark = MARK_TELL;
	now();
	samples_print();
	print("BENCH done\n");
	init_power_off();
}

PROGRAM_MAIN(program);
