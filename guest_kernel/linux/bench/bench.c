/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Process 1: runs the benchmarks, prints their samples (samples.c), "BENCH done", and powers off; a failure restarts.
 * The kernel's command line has bench=NAME,… for some of them only, and rounds=N for how many samples each takes at
 * least.  All is printed at the end, for a console's interrupts would come at any time after it.
 *
 * Source: Linux's manual, reboot(2), ioctl_tty(2).
 */
#include "guest_kernel/linux/bench/bench.h"

enum { NR_IOCTL = 54, NR_REBOOT = 88 };
enum { DRAIN = 0x5409, REBOOT_MAGIC = (int)0xFEE1DEAD, REBOOT_MAGIC_2 = 672274793, POWER_OFF = 0x4321FEDC,
       RESTART = 0x01234567 };
#define ROUNDS 50

extern const struct bench __start_benches[], __stop_benches[];

static void end(u32 how) __attribute__((noreturn));
static void end(u32 how)
{
	CALL(NR_IOCTL, 1, DRAIN, 1); /* what was printed is out */
	CALL(NR_REBOOT, (u32)REBOOT_MAGIC, REBOOT_MAGIC_2, how);
	for (;;)
		sleep_ms(1000);
}

s32 must(const char *what, s32 value)
{
	if ((u32)value < -PAGE)
		return value;
	print("init: %s: error %d\n", what, -value);
	if (getpid() == 1)
		end(RESTART);
	leave(1);
}

s32 child_ended(s32 pid)
{
	s32 status = 0;

	MUST(waitpid(pid, &status, 0));
	return EXITED(status) ? EXIT_OF(status) : -1;
}

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

/* Of the range that memory is taken from.  Readable only, so that no other memory becomes one with it. */
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

	if (argc && text_same(argv[0], NOTHING))
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
	end(POWER_OFF);
}

PROGRAM_MAIN(program);
