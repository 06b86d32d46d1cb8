/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs and the scheduler, which use everything that the other files test.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/traps/traps.h"
#include "guest_kernel/user/programs.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

TEST(exits, "tasks: a program's exit code comes back")
{
	struct task *task = task_program("exit test", (program *)snippet_exit, 42);
	ASSERT(task);
	ASSERT_EQ("exit code", 42, task_join(task));
}

TEST(ring3, "tasks: a program runs in ring 3")
{
	struct task *task = task_program("exit test", (program *)snippet_exit, 0);
	ASSERT(task);
	task_join(task);
	ASSERT_EQ("ring", 3, task->ring);
}

TEST(bad_program, "tasks: a program that faults is ended, and no other task")
{
	struct task *task = task_program("fault test", (program *)snippet_undefined, 0);
	ASSERT(task);
	ASSERT_EQ("exit code", TRAP_EXIT_CODE(TRAP_UNDEFINED), task_join(task));
}

TEST(preemption, "tasks: three that spin share the processor, and the shell wakes between them")
{
	struct task *spin[3];
	for (u32 i = 0; i < 3; i++) {
		spin[i] = task_program("spin test", program_spin, 0);
		ASSERT(spin[i]);
	}
	u32 from = clock_ms();
	while (clock_ms() - from < 5000 && (spin[0]->runs < 3 || spin[1]->runs < 3 || spin[2]->runs < 3))
		task_sleep(20 * (u64)NS_PER_MS);
	u32 runs[3];
	for (u32 i = 0; i < 3; i++) {
		runs[i] = spin[i]->runs;
		task_kill(spin[i]);
		task_join(spin[i]);
	}
	for (u32 i = 0; i < 3; i++)
		ASSERT(runs[i] >= 3);
}

TEST(sleeping, "tasks: sleep is not too short")
{
	u64 from = clock_ns();
	task_sleep(30 * (u64)NS_PER_MS);
	ASSERT(clock_ns() - from >= 30 * (u64)NS_PER_MS);
}


TEST(tickless, "tasks: an idle Guest has no tick")
{
	u32 before = irq_count(IRQ_CLOCK);
	task_sleep(300 * (u64)NS_PER_MS);
	ASSERT(irq_count(IRQ_CLOCK) - before <= 10); /* a periodic tick of 100 Hz would make 30 */
}

TEST(tls, "tasks: four programs keep their TLS segments over a hundred turns each")
{
	struct task *each[4];
	for (u32 i = 0; i < 4; i++) {
		each[i] = task_program("tls test", program_tls, 100);
		ASSERT(each[i]);
	}
	for (u32 i = 0; i < 4; i++)
		ASSERT_EQ("exit code", PROGRAM_OK, task_join(each[i]));
}

TEST(no_leak, "tasks: all memory of a program is freed")
{
	task_join(task_program("exit test", (program *)snippet_exit, 0));
	u32 before = memory_use().used;
	for (u32 i = 0; i < 30; i++) {
		struct task *task = task_program("exit test", (program *)snippet_exit, i);
		ASSERT(task);
		ASSERT_EQ("exit code", i, task_join(task));
	}
	ASSERT_EQ("frames in use", before, memory_use().used);
}

TEST(bad_pointer, "tasks: a system call with a bad pointer fails without other effects")
{
	static const u32 bad[] = { 0, TEST_PAGES, KERNEL_OFFSET, SWITCHER_BASE, 0xFFFFFFFF };
	for (u32 i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct task *task = task_program("write test", (program *)snippet_write_call, bad[i]);
		ASSERT(task);
		ASSERT_EQ("what write returned", -1, task_join(task));
	}
}
