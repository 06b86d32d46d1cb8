/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Catching traps on purpose; see catch.h. One catch at a time, by the task that started it.
 *
 * Read next: test.c.
 */
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/console/text.h"

static struct task *catcher;
static struct caught result;
static u32 saved_esp;
static bool interrupts_too;
static u32 ring3_irq = GUEST_IF;

bool catch_active(void)
{
	return catcher && catcher == current;
}

void catch_reset(void)
{
	catcher = NULL;
	interrupts_too = false;
	ring3_irq = GUEST_IF;
}

void catch_interrupts_too(void)
{
	interrupts_too = true;
}

void catch_with_irq(u32 flags)
{
	ring3_irq = flags;
}

static void leave(struct frame *frame, u32 cr2)
{
	u32 eflags, cs;
	__asm__ volatile("pushfl; popl %0; mov %%cs, %1" : "=r"(eflags), "=r"(cs));
	bool outer = (frame->cs & 3) == 3;
	result.trapped = true;
	memory_copy(&result.frame, frame, outer ? sizeof(*frame) : offsetof(struct frame, esp));
	result.frame_end = outer ? (u32)(frame + 1) : (u32)&frame->esp;
	result.trap_esp = current->trap_esp;
	result.cr2 = cr2;
	result.irq_enabled = lguest_data.irq_enabled;
	result.real_eflags = eflags;
	result.handler_cs = cs;
	catch_leave(saved_esp);
}

void catch_trap(struct frame *frame, u32 cr2)
{
	if (catch_active())
		leave(frame, cr2);
}

void catch_interrupt(struct frame *frame)
{
	if (catch_active() && interrupts_too)
		leave(frame, lguest_data.cr2);
}

static void begin(void)
{
	memory_set(&result, 0, sizeof(result));
	catcher = current;
}

struct caught catch_ring1(const void *start, u32 eax)
{
	u32 before = lguest_data.irq_enabled;
	begin();
	catch_call(start, eax, &saved_esp);
	catch_reset();
	if (before)
		irq_enable();
	else
		irq_disable();
	return result;
}

/* Where the processor or the Host pushes when ring 3 traps. */
static void trap_stack(u32 esp)
{
	current->trap_esp = esp;
	hypercall(LHCALL_SET_STACK, GUEST_DS, esp, 2, 0);
	lguest_data.irq_enabled = ring3_irq;
}

struct caught catch_ring3(const void *start, u32 eax)
{
	u32 before = lguest_data.irq_enabled, esp = current->trap_esp;
	begin();
	irq_disable();
	catch_enter_ring3(start, eax, &saved_esp, trap_stack);
	catch_reset();
	current->trap_esp = esp;
	hypercall(LHCALL_SET_STACK, GUEST_DS, esp, 2, 0);
	if (before)
		irq_enable();
	else
		irq_disable();
	return result;
}

struct caught catch_in(u32 ring, const void *start, u32 eax)
{
	return ring == 3 ? catch_ring3(start, eax) : catch_ring1(start, eax);
}
