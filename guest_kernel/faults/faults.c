/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `fault` command. A ring-3 program faults, and this kernel ends it; or the kernel violates the rules of the
 * hypercall interface, and the Host ends the Guest.
 *
 * Read next: violations.c, the second kind; guest_kernel/user/snippets.S, the programs of the first.
 */
#include "guest_kernel/faults/faults.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/faults/violations.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

#define UNMAPPED      0x10000000
#define NO_DESCRIPTOR (0x1F8 | 3) /* a selector beyond the GDT */

static const struct fault {
	const char *name;
	const char *start; /* in ring 3 */
	u32 argument;
	const char *about;
} faults[] = {
	{ "divide", snippet_divide, 0, "divide by zero" },
	{ "debug", snippet_debug, 0, "single step" },
	{ "breakpoint", snippet_breakpoint, 0, "int3" },
	{ "overflow", snippet_overflow, 0, "into" },
	{ "bound", snippet_bound, 0, "bound" },
	{ "ud", snippet_undefined, 0, "an undefined instruction" },
	{ "gp", snippet_load_ds, NO_DESCRIPTOR, "load a selector beyond the GDT" },
	{ "page-read", snippet_read, UNMAPPED, "read an unmapped address" },
	{ "page-write", snippet_write, USER_TEXT, "write to read-only text" },
	{ "kernel-read", snippet_read, KERNEL_OFFSET + KERNEL_START, "read the kernel's memory" },
	{ "switcher-read", snippet_read, SWITCHER_BASE, "read the Switcher" },
	{ "null-jump", snippet_jump, 0, "jump to address 0" },
	{ "privileged", snippet_hlt, 0, "hlt" },
	{ "cli", snippet_cli, 0, "cli" },
	{ "io", snippet_in, 0, "read a port" },
	{ "idt", snippet_int_clock, 0, "int of the clock's vector" },
	{ "hypercall", snippet_int_hypercall, 0, "a hypercall" },
	{ "host-segment", snippet_load_ds, HOST_DS | 3, "load the Host's data segment" },
	{ "fpu", snippet_x87, 0, "an unmasked x87 error" },
};

static void run_program(const struct fault *fault)
{
	struct task *task = task_program(fault->name, (program *)fault->start, fault->argument);
	if (!task) {
		print("no room for another task\n");
		return;
	}
	if (task_join(task) == 0)
		print("fault %s: nothing was caught\n", fault->name);
}

static void list(void)
{
	print("in ring 3, caught:\n");
	for (u32 i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		print("  %-18s%s\n", faults[i].name, faults[i].about);
	print("in ring 1, the Host ends the Guest:\n");
	for (u32 i = 0; i < violation_count; i++)
		print("  %-18s%s\n", violations[i].name, violations[i].about);
}

void fault_command(char *name)
{
	if (!*name) {
		list();
		return;
	}
	for (u32 i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (text_equal(name, faults[i].name)) {
			run_program(&faults[i]);
			return;
		}
	}
	for (u32 i = 0; i < violation_count; i++) {
		if (text_equal(name, violations[i].name)) {
			print("fault %s\n", name);
			violations[i].run();
			print("fault %s: still alive\n", name);
			return;
		}
	}
	print("no fault %s; try: fault\n", name);
}
