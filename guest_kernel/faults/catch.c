/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Catches a trap of the current task by the trap handler's hook. Only one task at a time can do that.
 *
 * Read next: catch.S; guest_kernel/tests/test.c.
 */
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/traps/traps.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

static struct task *catcher;
static struct caught result;
static u32 saved_esp;
static bool interrupts_too;
static u32 ring3_irq_enabled = GUEST_IF;

void catch_reset(void)
{
	trap_set_hook(NULL);
	catcher = NULL;
	interrupts_too = false;
	ring3_irq_enabled = GUEST_IF;
}

void catch_interrupts_too(void)
{
	interrupts_too = true;
}

void catch_with_irq(u32 flags)
{
	ring3_irq_enabled = flags;
}

static void catch_trap(struct trap_frame *frame, u32 cr2)
{
	u32 eflags, cs;
	bool interrupt = frame->vector >= FIRST_IRQ_VECTOR && frame->vector < FIRST_IRQ_VECTOR + LGUEST_IRQS;
	if (catcher != current || (interrupt && !interrupts_too))
		return;
	__asm__ volatile("pushfl; popl %0; mov %%cs, %1" : "=r"(eflags), "=r"(cs));
	bool outer = (frame->cs & RPL_MASK) == 3; /* esp and ss were pushed */
	result.trapped = true;
	memory_copy(&result.frame, frame, outer ? sizeof(*frame) : offsetof(struct trap_frame, esp));
	result.frame_end = outer ? (u32)(frame + 1) : (u32)&frame->esp;
	result.trap_esp = current->trap_esp;
	result.cr2 = cr2;
	result.irq_enabled = lguest_data.irq_enabled;
	result.real_eflags = eflags;
	result.handler_cs = cs;
	catch_leave(saved_esp);
}

static void begin(void)
{
	memory_set(&result, 0, sizeof(result));
	catcher = current;
	trap_set_hook(catch_trap);
}

struct caught catch_ring1(const void *start, u32 eax)
{
	u32 flags = lguest_data.irq_enabled;
	begin();
	catch_call(start, eax, &saved_esp);
	catch_reset();
	if (flags)
		irq_enable();
	else
		irq_disable();
	return result;
}

/* Traps from ring 3 push on this stack, below what catch_enter_ring3 has saved. */
static void trap_stack(u32 esp)
{
	current->trap_esp = esp;
	hypercall(LHCALL_SET_STACK, GUEST_DS, esp, STACK_PAGES, 0);
	lguest_data.irq_enabled = ring3_irq_enabled;
}

struct caught catch_ring3(const void *start, u32 eax)
{
	u32 flags = lguest_data.irq_enabled, esp = current->trap_esp;
	begin();
	irq_disable();
	catch_enter_ring3(start, eax, &saved_esp, trap_stack);
	catch_reset();
	current->trap_esp = esp;
	hypercall(LHCALL_SET_STACK, GUEST_DS, esp, STACK_PAGES, 0);
	if (flags)
		irq_enable();
	else
		irq_disable();
	return result;
}

struct caught catch_in(u32 ring, const void *start, u32 eax)
{
	return ring == 3 ? catch_ring3(start, eax) : catch_ring1(start, eax);
}
