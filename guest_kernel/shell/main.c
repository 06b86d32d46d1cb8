/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiny Guest's C code starts here, in ring 1, with its own page tables and the boot stack. It brings up each
 * part in turn, starts the first tasks and becomes the idle one.
 *
 * Read next: memory.c, paging.c, segments.c, traps.c, interrupts.c, clock.c, tasks.c, console.c; then shell.c.
 */
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/fpu.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/console/print.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/shell/shell.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/console/text.h"
#include "guest_kernel/user/user.h"

void guest_main(void);

static u32 kernel_ring(void)
{
	u32 cs;
	__asm__("mov %%cs, %0" : "=r"(cs));
	return cs & 3;
}

static void background(const char *name, program *start)
{
	struct task *task = task_program(name, start, 0);
	if (task)
		task->detached = true;
}

void guest_main(void)
{
	static char command_line[COMMAND_LINE];
	u32 at = *(volatile u32 *)virtual(BOOT_PARAMS_CMDLINE);
	memory_init();
	/* Before its frame is used for something else. */
	if (at && at < memory_mapped() - COMMAND_LINE)
		text_copy(command_line, virtual(at), sizeof(command_line));
	print("lguest-py tiny Guest, ring %u\n", kernel_ring());
	paging_init();
	segments_init();
	traps_init();
	tasks_init();
	fpu_init();
	console_init();
	clock_init();
	background("ticker", program_ticker);
	background("fpu", program_fpu);
	background("tls", program_tls);
	shell_start(command_line);
	schedule_idle();
}
