/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traps: the IDT, and who answers what. A page fault may only want a page, trap 7 the FPU's state; what is left
 * ends the program, or the kernel if it is its own.
 *
 * Read next: paging.c for page faults, syscalls.c for int 0x80, catch.c for how the tests look on.
 */
#include "guest_kernel/cpu/traps.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/cpu/copy.h"
#include "guest_kernel/cpu/fpu.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/tasks/power.h"
#include "guest_kernel/console/print.h"
#include "guest_kernel/tasks/schedule.h"
#include "guest_kernel/memory/space.h"
#include "guest_kernel/tasks/syscalls.h"
#include "guest_kernel/tasks/tasks.h"

static const char *const names[] = {
	"divide error", "debug", "NMI", "breakpoint", "overflow", "bound", "undefined instruction", "no FPU",
	"double fault", "9", "bad TSS", "segment not present", "stack segment", "general protection", "page fault",
	"15", "FPU error", "alignment", "machine check", "SIMD error",
};

const char *trap_name(u32 vector)
{
	if (vector < sizeof(names) / sizeof(names[0]))
		return names[vector];
	return vector == SYSTEM_CALL_VECTOR ? "system call" : "interrupt";
}

static void load(u32 vector, const void *handler, u32 type_and_dpl)
{
	u32 offset = (u32)handler;
	hypercall_async(LHCALL_LOAD_IDT_ENTRY, vector, GUEST_CS << 16 | (offset & 0xFFFF),
			(offset & 0xFFFF0000) | type_and_dpl << 8, 0);
}

void trap_gate(u32 vector, const void *handler, u32 type_and_dpl)
{
	load(vector, handler, type_and_dpl);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

void traps_init(void)
{
	for (u32 vector = 0; vector < STUBS; vector++)
		load(vector, (const void *)trap_stubs[vector], GATE_INTERRUPT);
	load(TRAP_BREAKPOINT, (const void *)trap_stubs[TRAP_BREAKPOINT], GATE_TRAP | GATE_DPL3);
	load(TRAP_OVERFLOW, (const void *)trap_stubs[TRAP_OVERFLOW], GATE_TRAP | GATE_DPL3);
	trap_gate(SYSTEM_CALL_VECTOR, trap_system_call, GATE_TRAP | GATE_DPL3);
}

static bool from_ring3(const struct frame *frame)
{
	return (frame->cs & 3) == 3;
}

static bool is_irq(const struct frame *frame)
{
	return frame->vector >= FIRST_IRQ_VECTOR && frame->vector < STUBS;
}

void panic_frame(const char *why, const struct frame *frame)
{
	irq_disable();
	print("%s: trap %u (%s), error code %#x, at %02x:%08x, cr2 %08x\n", why, frame->vector,
	      trap_name(frame->vector), frame->error, frame->cs, frame->eip, lguest_data.cr2);
	print("eax %08x ebx %08x ecx %08x edx %08x esi %08x edi %08x ebp %08x\n", frame->eax, frame->ebx, frame->ecx,
	      frame->edx, frame->esi, frame->edi, frame->ebp);
	power_panic(why);
}

/* A trap that nobody expected. */
static void unexpected(struct frame *frame)
{
	if (!from_ring3(frame)) {
		if (copy_recover(frame))
			return;
		panic_frame("unexpected trap in ring 1", frame);
	}
	print("caught in ring 3: trap %u (%s), error code %#x, at %08x", frame->vector, trap_name(frame->vector),
	      frame->error, frame->eip);
	if (frame->vector == TRAP_PAGE_FAULT)
		print(", address %08x", lguest_data.cr2);
	print("; task %u (%s) ends\n", current->id, current->name);
	task_exit(-(s32)frame->vector - 1);
}

/* The last look before we leave: what waits is taken, and ring 3 is left to whoever is next. */
static void before_return(struct frame *frame)
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

void trap(struct frame *frame)
{
	u32 cr2 = lguest_data.cr2;
	if (is_irq(frame)) {
		irq_dispatch(frame);
		catch_interrupt(frame);
	} else if (frame->vector == TRAP_PAGE_FAULT && space_demand(current->directory, cr2)) {
		current->faults++;
	} else if (frame->vector == TRAP_NO_DEVICE && !catch_active()) {
		fpu_trap();
	} else {
		catch_trap(frame, cr2);
		/* A trap gate leaves irq_enabled alone, and a direct one pushes IF = 1 whatever it is. */
		if (frame->vector == TRAP_BREAKPOINT || frame->vector == TRAP_OVERFLOW ||
		    frame->vector == SYSTEM_CALL_VECTOR)
			frame->eflags = (frame->eflags & ~GUEST_IF) | lguest_data.irq_enabled;
		if (frame->vector == SYSTEM_CALL_VECTOR) {
			current->ring = frame->cs & 3; /* other traps may come in the kernel on a program's behalf */
			system_call(frame);
		} else {
			unexpected(frame);
		}
	}
	before_return(frame);
}
