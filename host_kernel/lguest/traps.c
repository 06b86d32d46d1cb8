/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exit reasons of an lguest Guest, and what is done about each.  Most exceptions are reflected to the Guest's handler.
 * Read before: host_kernel/core/run.c.  Read next: host_kernel/memory/fault.c for page faults, hypercalls.c, inject.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/memory/fault.h"

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

static void page_fault(u32 error)
{
	if (demand_page(guest.cr2, error, &error)) {
		mailbox->faults_filled++;
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
		guest.dr6 = read_and_clear_dr6();
		break;
	case TRAP_DOUBLE_FAULT:
		kill_guest("double fault at eip %#x", guest.regs->eip);
	default:
		break;
	}
	reflect(vector, error);
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
