/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a program that measures, and takes its samples from a page that it shares with the kernel.
 *
 * Read next: bench_calls.c.
 */
#include "guest_kernel/bench/bench_program.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/bench/bench_row.h"
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "switcher/layouts/types.h"

/* A page of the kernel's image that is mapped for the program. */
static u32 shared[BENCH_ROUNDS] __attribute__((aligned(PAGE_SIZE)));
_Static_assert(sizeof(shared) <= PAGE_SIZE, "one page");

void bench_program(program *start, struct bench_gate gate)
{
	struct task *task = task_program("bench", start, 0);
	if (!task || !pte_set(task->directory, BENCH_PAGES, physical(shared) | PTE_PRESENT | PTE_WRITE | PTE_USER)) {
		print("no room for a program\n");
		return;
	}
	idt_set_gate(gate.vector, gate.handler, gate.type_and_dpl);
	irq_enable();
	task_join(task);
	irq_disable();
	bench_add_warmed(shared);
}
