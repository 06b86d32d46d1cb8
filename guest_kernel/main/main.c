/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiny Guest's first C code, called by start.S in ring 1 on the kernel's page tables and the boot stack. It
 * initializes each part, starts the first tasks and becomes the idle task.
 *
 * Read next: the rooms from the bottom up: cpu/, memory/, tasks/, console/, traps/; then shell.c.
 * Next in the book: guest_kernel/memory/frames.c.
 */
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/main/device_commands.h"
#include "guest_kernel/main/parameters.h"
#include "guest_kernel/main/shell.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/traps/traps.h"
#include "guest_kernel/user/programs.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define COMMAND_LINE_BYTES 2048

void guest_main(void);

static u32 kernel_ring(void)
{
	u32 cs;
	__asm__("mov %%cs, %0" : "=r"(cs));
	return cs & RPL_MASK;
}

static void background(const char *name, program *start)
{
	struct task *task = task_program(name, start, 0);
	if (task)
		task->detached = true;
}

void guest_main(void)
{
	static char command_line[COMMAND_LINE_BYTES], value[COMMAND_LINE_BYTES];
	u32 at = *(volatile u32 *)virtual(BOOT_PARAMS_CMDLINE);
	print_to(&console_sink);
	frames_init();
	/* Before its frame is allocated. */
	if (at && at < memory_mapped() - COMMAND_LINE_BYTES)
		text_copy(command_line, virtual(at), sizeof(command_line));
	print("lguest-py tiny Guest, ring %u\n", kernel_ring());
	paging_init();
	segments_init();
	traps_init();
	tasks_init();
	fpu_init();
	clock_init();
	virtio_init();
	console_init();
	irq_set_handler(IRQ_CLOCK, schedule_tick);
	background("ticker", program_ticker);
	background("fpu", program_fpu);
	background("tls", program_tls);
	if (parameter(command_line, "ip=", value, sizeof(value)))
		ip_command(value);
	shell_start(parameter(command_line, PARAMETER_RUN, value, sizeof(value)) ? value : NULL);
	schedule_idle();
}
