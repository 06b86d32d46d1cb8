/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exit reasons of an lguest Guest, and what is done about each.  Most exceptions are reflected to the Guest's handler.
 * Read before: host_kernel/core/run.c.  Read next: host_kernel/memory/fault.c for page faults, hypercalls.c, inject.c.
 * Next in the book: hypercalls.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/memory/fault.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/pci/pci.h"

#define GATE_DPL_SHIFT 45

/* Inject the exception into the Guest; kill it if it has no handler. */
static void reflect(u32 vector, u32 error)
{
	struct registers *regs = guest.regs;

	if (!has_handler(vector)) {
		if (vector == TRAP_PAGE_FAULT)
			kill_guest("page fault at %#x (error code %#x, eip %#x) without a handler", guest.cr2, error, regs->eip);
		kill_guest("trap %u (error code %#x, eip %#x) without a handler", vector, error, regs->eip);
	}
	inject(vector, error);
}

/* An access to a BAR. */
static void __attribute__((noinline, cold)) io_memory(void)
{
	struct registers *regs = guest.regs;
	u32 vector = io_memory_access(guest.cr2, (regs->cs & 3) == 1 || lguest_is_flat_code(regs->cs));

	if (vector == IO_DONE)
		return;
	if (vector == TRAP_DEBUG)
		debug_raised(DR6_STEP);
	if (vector == TRAP_PAGE_FAULT) {
		guest.cr2 = guest_fault.address;
		guest.data->cr2 = guest.cr2;
	}
	reflect(vector, vector == TRAP_PAGE_FAULT ? guest_fault.error : 0);
}

static void __attribute__((noinline, cold)) debug_exception(void)
{
	debug_raised(debug_cause());
	reflect(TRAP_DEBUG, 0);
}

/*
 * Most page faults are of no interest to the Guest: its own tables allow the access, and only the shadow lacked the page.  It
 * is filled, and the instruction is tried again.  What the Guest's tables deny goes to its handler, as on a CPU.
 */
static void page_fault(u32 error)
{
	u32 how = demand_page(guest.cr2, error, &error);

	if (how == FAULT_FILLED) {
		mailbox->faults_filled++;
		return;
	}
	if (__builtin_expect(how == FAULT_IO, 0)) {
		io_memory();
		return;
	}
	if (guest.data)
		guest.data->cr2 = guest.cr2;
	mailbox->faults_reflected++;
	reflect(TRAP_PAGE_FAULT, error);
}

static void __attribute__((noinline)) other_trap(u32 vector, u32 error)
{
	switch (vector) {
	case VECTOR_TIMER:
	case VECTOR_DOORBELL:
	case VECTOR_SPURIOUS:
		return; /* the Switcher has called the handler */
	case TRAP_GENERAL:
		if (!error && emulate())
			return;
		break;
	case TRAP_DEBUG:
		debug_exception();
		return;
	case TRAP_DOUBLE_FAULT:
		kill_guest("double fault at eip %#x", guest.regs->eip);
	default:
		break;
	}
	reflect(vector, error);
}

/*
 * int of so many bytes, whose gate a debugger has closed for a moment.  False: the Guest's own gate does not let it through, so
 * that the fault is the Guest's.
 */
bool software_interrupt(u32 vector, u32 length)
{
	u32 ring = guest.regs->cs & 3;

	if (!has_handler(vector) || (guest.idt[vector] >> GATE_DPL_SHIFT & 3) < ring)
		return false;
	guest.regs->eip += length;
	inject(vector, 0);
	return true;
}

void ALWAYS handle_trap(void)
{
	u32 vector = guest.regs->trapnum;

	if (vector == HYPERCALL_VECTOR)
		do_hypercalls();
	else if (vector == TRAP_PAGE_FAULT)
		page_fault(guest.regs->errcode);
	else
		other_trap(vector, guest.regs->errcode);
}
