/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of the prompt.
 *
 * Read next: guest_kernel/faults/faults.c, guest_kernel/tests/test.c.
 */
#include "guest_kernel/main/commands.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bench/bench.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/power.h"
#include "guest_kernel/faults/device_faults.h"
#include "guest_kernel/faults/faults.h"
#include "guest_kernel/main/device_commands.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/programs.h"
#include "switcher/layouts/types.h"

#define KIB          1024
#define MS_PER_SECOND 1000

static void help_command(char *arguments)
{
	(void)arguments;
	for (u32 i = 0; i < command_count; i++)
		print("%-9s%-17s%s\n", commands[i].name, commands[i].arguments, commands[i].about);
}

static void tasks_command(char *arguments)
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

static void uptime_command(char *arguments)
{
	u32 ms = clock_ms(), seconds, nanoseconds;
	(void)arguments;
	clock_wall(&seconds, &nanoseconds);
	print("up %u.%03u s, wall clock %u.%03u, %u clock interrupts, TSC at %u kHz\n", ms / MS_PER_SECOND,
	      ms % MS_PER_SECOND, seconds, nanoseconds / NS_PER_MS, irq_count(IRQ_CLOCK), lguest_data.tsc_khz);
}

static void memory_command(char *arguments)
{
	struct memory_use use = memory_use();
	(void)arguments;
	print("RAM %u KiB, kernel %u KiB, frames %u of %u in use\n", use.ram / KIB, use.kernel / KIB, use.used, use.total);
}

static void run_command(char *name)
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

static void kill_command(char *arguments)
{
	u32 id;
	struct task *task = text_number(arguments, &id) ? task_find(id) : NULL;
	if (!task || task->ring != 3 || task->state == TASK_EXITED)
		print("%s: no such program; try: tasks\n", *arguments ? arguments : "kill");
	else
		task_kill(task);
}

static void halt_command(char *arguments)
{
	(void)arguments;
	print("halted\n");
	power_halt();
}

static void panic_command(char *arguments)
{
	panic(*arguments ? arguments : "asked to panic");
}

static void reboot_command(char *arguments)
{
	(void)arguments;
	power_restart();
}

static void poweroff_command(char *arguments)
{
	(void)arguments;
	power_off();
}

static void echo_command(char *arguments)
{
	print("%s\n", arguments);
}

const struct command commands[] = {
	{ "help", "", "this list", help_command },
	{ "tasks", "", "all tasks: ring, state, switches to each, demand faults", tasks_command },
	{ "uptime", "", "time since boot, and the wall clock", uptime_command },
	{ "memory", "", "physical memory and its use", memory_command },
	{ "run", "[NAME]", "start a program; without NAME, list them", run_command },
	{ "kill", "ID", "end a program", kill_command },
	{ "fault", "[NAME]", "make a fault; without NAME, list them", fault_command },
	{ "abuse", "[NAME [DEVICE]]", "drive a device in a hostile way; without NAME, list the ways", abuse_command },
	{ "fuzz", "SEED [DEVICE]", "drive a device with random rings", fuzz_command },
	{ "poke", "SEED [DEVICE]", "access a device's registers at random, on PCI", poke_command },
	{ "test", "[TEXT]", "test every hypercall and trap, or run the tests with TEXT in their name", test_command },
	{ "bench", "[NAMES]", "measure the Host's services, for lguest-py bench", bench_command },
	{ "devices", "", "all devices, and what a driver uses", devices_command },
	{ "disk", "[N]", "choose a disk: the commands below use it, 0 at first", disk_command },
	{ "read", "SECTOR", "show a sector", read_command },
	{ "write", "SECTOR TEXT", "write a sector: TEXT, then zeroes", write_command },
	{ "sum", "SECTOR COUNT", "CRC-32 of sectors", sum_command },
	{ "copy", "FROM TO COUNT", "copy sectors", copy_command },
	{ "zero", "SECTOR COUNT", "have the disk write zeroes", zero_command },
	{ "discard", "SECTOR COUNT", "tell the disk that sectors are not used", discard_command },
	{ "flush", "", "have the disk write out what it holds", flush_command },
	{ "ip", "[A.B.C.D]", "the network card's address; so does ip= on the command line", ip_command },
	{ "ping", "A.B.C.D [COUNT]", "send ICMP echo requests", ping_command },
	{ "random", "[BYTES]", "bytes of the entropy device", random_command },
	{ "share", "[N]", "use the N-th shared folder, 0 at first", share_command },
	{ "ls", "[PATH]", "the entries of a folder of the share", ls_command },
	{ "cat", "PATH", "show a file of the share", cat_command },
	{ "crc", "PATH", "CRC-32 of a file of the share", crc_command },
	{ "put", "PATH TEXT", "write a file of the share", put_command },
	{ "tell", "N TEXT", "write a line to the N-th console, from 1", tell_command },
	{ "hear", "N", "wait for a line from the N-th console, and show it", hear_command },
	{ "size", "", "the console's columns and rows", size_command },
	{ "echo", "TEXT", "print TEXT", echo_command },
	{ "halt", "", "stop with all interrupts masked", halt_command },
	{ "panic", "[TEXT]", "report a kernel panic to the Host", panic_command },
	{ "reboot", "", "restart", reboot_command },
	{ "poweroff", "", "power off; so does Ctrl-D on an empty line", poweroff_command },
};
const u32 command_count = sizeof(commands) / sizeof(commands[0]);
