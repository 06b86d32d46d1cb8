/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trap handler. A page fault may be a demand fault, and trap 7 asks for the FPU's state. A trap that nothing
 * handles ends the program, or panics if the kernel made it.
 *
 * Read next: syscalls.c for int 0x80; guest_kernel/memory/demand.c for page faults; guest_kernel/faults/catch.c for
 * the hook.
 * Next in the book: guest_kernel/cpu/frame.S.
 */
#include "guest_kernel/traps/traps.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/power.h"
#include "guest_kernel/memory/copy.h"
#include "guest_kernel/memory/demand.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/traps/syscalls.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

static trap_hook *hook;

void trap_set_hook(trap_hook *new_hook)
{
	hook = new_hook;
}

static const char *trap_name(u32 vector)
{
	static const char *const names[] = {
		"divide error", "debug", "NMI", "breakpoint", "overflow", "bound", "undefined instruction", "no FPU",
		"double fault", "9", "bad TSS", "segment not present", "stack segment", "general protection",
		"page fault", "15", "FPU error", "alignment", "machine check", "SIMD error",
	};
	if (vector < sizeof(names) / sizeof(names[0]))
		return names[vector];
	return vector == SYSTEM_CALL_VECTOR ? "system call" : "interrupt";
}

void traps_init(void)
{
	for (u32 vector = 0; vector < TRAP_STUBS; vector++)
		idt_set_gate_async(vector, (const void *)trap_stubs[vector], GATE_INTERRUPT);
	idt_set_gate_async(TRAP_BREAKPOINT, (const void *)trap_stubs[TRAP_BREAKPOINT], GATE_TRAP | GATE_DPL3);
	idt_set_gate_async(TRAP_OVERFLOW, (const void *)trap_stubs[TRAP_OVERFLOW], GATE_TRAP | GATE_DPL3);
	idt_set_gate(SYSTEM_CALL_VECTOR, trap_system_call, GATE_TRAP | GATE_DPL3);
}

static bool from_ring3(const struct trap_frame *frame)
{
	return (frame->cs & RPL_MASK) == 3;
}

static bool is_irq(const struct trap_frame *frame)
{
	return frame->vector >= FIRST_IRQ_VECTOR && frame->vector < TRAP_STUBS;
}

static bool has_trap_gate(u32 vector)
{
	return vector == TRAP_BREAKPOINT || vector == TRAP_OVERFLOW || vector == SYSTEM_CALL_VECTOR;
}

static void __attribute__((noreturn)) kernel_trap(const struct trap_frame *frame)
{
	static const char why[] = "unexpected trap in ring 1";
	irq_disable();
	print("%s: trap %u (%s), error code %#x, at %02x:%08x, cr2 %08x\n", why, frame->vector,
	      trap_name(frame->vector), frame->error, frame->cs, frame->eip, lguest_data.cr2);
	print("eax %08x ebx %08x ecx %08x edx %08x esi %08x edi %08x ebp %08x\n", frame->eax, frame->ebx, frame->ecx,
	      frame->edx, frame->esi, frame->edi, frame->ebp);
	panic(why);
}

static void __attribute__((noreturn)) program_trap(const struct trap_frame *frame)
{
	print("caught in ring 3: trap %u (%s), error code %#x, at %08x", frame->vector, trap_name(frame->vector),
	      frame->error, frame->eip);
	if (frame->vector == TRAP_PAGE_FAULT)
		print(", address %08x", lguest_data.cr2);
	print("; task %u (%s) ends\n", current->id, current->name);
	task_exit(TRAP_EXIT_CODE(frame->vector));
}

/* Before a return with interrupts enabled: a pending interrupt is injected, and ring 3 may be preempted. */
static void before_return(struct trap_frame *frame)
{
	irq_disable();
	if (!(frame->eflags & GUEST_IF))
		return;
	if (lguest_data.irq_pending) {
		irq_enable();
		irq_disable();
	}
	if (from_ring3(frame) && need_schedule)
		schedule();
}

static void call_hook(struct trap_frame *frame, u32 cr2)
{
	if (hook)
		hook(frame, cr2);
}

void trap(struct trap_frame *frame)
{
	u32 cr2 = lguest_data.cr2;
	if (is_irq(frame)) {
		irq_dispatch(frame);
		call_hook(frame, cr2);
	} else if (frame->vector == TRAP_PAGE_FAULT && demand_page(current->directory, cr2)) {
		current->faults++;
	} else {
		call_hook(frame, cr2);
		/*
		 * A trap gate leaves irq_enabled as it is, and a trap that enters ring 1 directly pushes IF = 1 in any
		 * case: irq_enabled has the true value.
		 */
		if (has_trap_gate(frame->vector))
			frame->eflags = (frame->eflags & ~GUEST_IF) | lguest_data.irq_enabled;
		if (frame->vector == TRAP_NO_DEVICE) {
			fpu_trap(&current->fpu);
		} else if (frame->vector == SYSTEM_CALL_VECTOR) {
			current->ring = frame->cs & RPL_MASK; /* other traps may come in the kernel on a program's behalf */
			system_call(frame);
		} else if (from_ring3(frame)) {
			program_trap(frame);
		} else if (!copy_fixup(frame)) {
			kernel_trap(frame);
		}
	}
	before_return(frame);
}
