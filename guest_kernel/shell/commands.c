/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be typed.
 *
 * Read next: faults.c, test.c.
 */
#include "guest_kernel/bench/bench.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/faults/faults.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/memory.h"
#include "guest_kernel/tasks/power.h"
#include "guest_kernel/console/print.h"
#include "guest_kernel/shell/shell.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/console/text.h"
#include "guest_kernel/user/user.h"

static void help(char *arguments)
{
	(void)arguments;
	for (u32 i = 0; i < command_count; i++)
		print("%-9s%-9s%s\n", commands[i].name, commands[i].arguments, commands[i].about);
}

static void list_tasks(char *arguments)
{
	static const char *const states[] = { "free", "ready", "sleeping", "waiting", "exited" };
	(void)arguments;
	print("  id ring state        runs pages name\n");
	for (u32 i = 0; i < TASKS; i++) {
		const struct task *task = &tasks[i];
		const char *state = task == current ? "running" : states[task->state];
		if (task->state != TASK_FREE)
			print("%4u %4u %-9s%8u %5u %s\n", task->id, task->ring, state, task->runs, task->faults, task->name);
	}
}

static void uptime(char *arguments)
{
	u32 ms = clock_ms(), seconds, nanoseconds;
	(void)arguments;
	clock_wall(&seconds, &nanoseconds);
	print("up %u.%03u s, wall clock %u.%03u, %u clock interrupts, TSC at %u kHz\n", ms / 1000, ms % 1000, seconds,
	      nanoseconds / NS_PER_MS, irq_count(IRQ_CLOCK), lguest_data.tsc_khz);
}

static void memory(char *arguments)
{
	struct memory_use use = memory_use();
	(void)arguments;
	print("RAM %u KiB, kernel %u KiB, frames %u of %u in use\n", use.ram / 1024, use.kernel / 1024, use.used, use.total);
}

static void run_program(char *name)
{
	for (u32 i = 0; i < program_count; i++) {
		if (!*name) {
			print("%-8s%s\n", programs[i].name, programs[i].about);
		} else if (text_equal(name, programs[i].name)) {
			struct task *task = task_program(programs[i].name, programs[i].start, 0);
			if (task) {
				task->detached = true;
				print("task %u\n", task->id);
			} else {
				print("no room for another task\n");
			}
			return;
		}
	}
	if (*name)
		print("no program %s; try: run\n", name);
}

static void kill(char *arguments)
{
	u32 id;
	struct task *task = text_number(arguments, &id) ? task_find(id) : NULL;
	if (!task || task->ring != 3 || task->state == TASK_EXITED)
		print("%s: no such program; try: tasks\n", *arguments ? arguments : "kill");
	else
		task_kill(task);
}

static void halt(char *arguments)
{
	(void)arguments;
	print("halted\n");
	power_halt();
}

static void panic(char *arguments)
{
	power_panic(*arguments ? arguments : "asked to panic");
}

static void reboot(char *arguments)
{
	(void)arguments;
	power_restart();
}

static void poweroff(char *arguments)
{
	(void)arguments;
	power_off();
}

static void echo(char *arguments)
{
	print("%s\n", arguments);
}

const struct command commands[] = {
	{ "help", "", "this list", help },
	{ "tasks", "", "all tasks: ring, state, how often each was switched to, pages it asked for", list_tasks },
	{ "uptime", "", "time since the start, and what the Host says it is", uptime },
	{ "memory", "", "what there is and what is used", memory },
	{ "run", "[NAME]", "start a program; without NAME, list them", run_program },
	{ "kill", "ID", "end a program", kill },
	{ "fault", "[NAME]", "do something wrong; without NAME, list what", fault_command },
	{ "test", "[TEXT]", "try every hypercall and trap, or the tests with TEXT in their name", test_command },
	{ "bench", "[NAMES]", "measure what the Host does for us, for lguest-py bench", bench_command },
	{ "echo", "TEXT", "print TEXT", echo },
	{ "halt", "", "stop for good", halt },
	{ "panic", "[TEXT]", "tell the Host that the kernel failed", panic },
	{ "reboot", "", "start again", reboot },
	{ "poweroff", "", "as Ctrl-D on an empty line", poweroff },
};
const u32 command_count = sizeof(commands) / sizeof(commands[0]);
