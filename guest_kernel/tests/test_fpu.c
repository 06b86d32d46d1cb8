/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FPU's state across programs, and hypercall TS in the asynchronous ring.
 *
 * Read next: test_tasks.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/programs.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define ROUNDS 100

TEST(shared, "fpu: four programs keep their registers over a hundred turns each")
{
	struct task *each[4];
	for (u32 i = 0; i < 4; i++) {
		each[i] = task_program("fpu test", program_fpu, ROUNDS);
		ASSERT(each[i]);
	}
	for (u32 i = 0; i < 4; i++)
		ASSERT_EQ("exit code", PROGRAM_OK, task_join(each[i]));
}

TEST(preempted, "fpu: two programs keep their registers beside one that only spins")
{
	struct task *spin = task_program("spin test", program_spin, 0), *each[2];
	ASSERT(spin);
	for (u32 i = 0; i < 2; i++) {
		each[i] = task_program("fpu test", program_fpu, 10);
		ASSERT(each[i]);
	}
	s32 first = task_join(each[0]), second = task_join(each[1]);
	task_kill(spin);
	task_join(spin);
	ASSERT_EQ("exit code", PROGRAM_OK, first);
	ASSERT_EQ("exit code", PROGRAM_OK, second);
}

/* Ring 1 uses the FPU by the same trap. */
TEST(kernel, "fpu: ring 1 keeps a register while programs use the FPU")
{
	u32 number = 4711, back = 0;
	__asm__ volatile("fninit; fildl %0" : : "m"(number));
	struct task *task = task_program("fpu test", program_fpu, 20);
	ASSERT(task);
	ASSERT_EQ("exit code", PROGRAM_OK, task_join(task));
	__asm__ volatile("fistl %0" : "=m"(back));
	ASSERT_EQ("register", number, back);
}

TEST(clean, "fpu: a program starts with a clean FPU")
{
	u32 number = 99;
	__asm__ volatile("fninit; fildl %0; fildl %0" : : "m"(number));
	struct task *task = task_program("fpu test", (program *)snippet_fpu_clean, 0);
	ASSERT(task);
	ASSERT_EQ("status word and control word", 0x0000037F, task_join(task));
}

TEST(ts_async, "fpu: TS from the asynchronous ring")
{
	test_take_clock();
	fpu_set_ts(false);
	hypercall_async(LHCALL_TS, 1, 0, 0, 0);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	expect_trap(1, snippet_no_device, 0, TRAP_NO_DEVICE, 0, snippet_no_device_at);
	if (test_failed())
		return;
	hypercall_async(LHCALL_TS, 0, 0, 0, 0);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	expect_trap(1, snippet_no_device, 0, SYSTEM_CALL_VECTOR, 0, NULL);
}
