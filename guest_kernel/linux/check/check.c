/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the checks, all or those whose names are given.  Prints "CHECK name ok" or "CHECK name FAILED: …" for each, and
 * "CHECK PASSED n/n" at the end; the exit status is how many failed.
 */
#include "guest_kernel/linux/check/check.h"

#define SECONDS 240 /* for one check */

extern const struct check __start_checks[], __stop_checks[];
static const struct check *running;
char **check_environment;

void check_same(const char *what, u32 wanted, u32 got)
{
	if (wanted == got)
		return;
	print("CHECK %s FAILED: %s: wanted %x, got %x\n", running->name, what, wanted, got);
	leave(1);
}

void check_note(const char *text)
{
	print("CHECK note: %s: %s\n", running->name, text);
}

s32 check_child(s32 pid)
{
	s32 status = -1;

	SAME("waitpid()", pid, waitpid(pid, &status, WAIT_ALL));
	return EXITED(status) ? EXIT_OF(status) : 256 + DEATH_OF(status);
}

static bool passes(const struct check *check)
{
	s32 status = 0, child;

	running = check;
	child = fork();
	if (!child) {
		CALL(NR_SETPGID, 0, 0);
		CALL(NR_ALARM, SECONDS);
		check->run();
		leave(0);
	}
	waitpid(child, &status, 0);
	kill(-child, SIGKILL); /* what it may have left behind */
	if (!EXITED(status))
		print("CHECK %s FAILED: ended by signal %d\n", check->name, DEATH_OF(status));
	else if (!status)
		print("CHECK %s ok\n", check->name);
	return !status;
}

static bool wanted(const struct check *check, u32 argc, char **argv)
{
	for (u32 index = 1; index < argc; index++)
		if (text_same(argv[index], check->name))
			return true;
	return argc < 2;
}

static s32 program(u32 argc, char **argv, char **envp)
{
	s32 count = 0, failed = 0;

	check_environment = envp;
	for (const struct check *check = __start_checks; check < __stop_checks; check++) {
		if (!wanted(check, argc, argv))
			continue;
		count++;
		failed += !passes(check);
	}
	print("CHECK %s %d/%d\n", failed || !count ? "FAILED" : "PASSED", count - failed, count);
	return failed > 100 ? 100 : failed + !count;
}

PROGRAM_MAIN(program);
