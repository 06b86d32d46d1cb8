/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions of the Guest, and what follows when one cannot be delivered: another exception, a double fault, a triple
 * fault.  Source: Intel SDM vol. 3, 6.15, interrupt 8, and table 6-5.  Read before: inject.c.
 * Next in the book: iret.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/print.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/memory/paging.h"
#include "host_kernel/memory/walk.h"

#define TRAP_DIVIDE      0
#define TRAP_INVALID_TSS 10
#define ERROR_EXTERNAL   1u /* in a selector error code: not caused by an instruction of the Guest */
#define ERROR_IDT        2u

/* The page fault's error code for an access on behalf of the Guest. */
static u32 page_fault_error(u32 address, u32 access)
{
	pte_t entry, pde;
	u32 error = access;

	return walk(address, access, &entry, &pde, &error) ? access : error;
}

/* The exception that the failure to deliver a vector raises. */
static u32 raised_by(u32 vector, u32 failed, u32 where, bool software, u32 *error)
{
	*error = vector << 3 | ERROR_IDT | (software ? 0 : ERROR_EXTERNAL);
	switch (failed) {
	case FAILED_IDT_LIMIT:
	case FAILED_GATE_TYPE:
		return TRAP_GENERAL;
	case FAILED_NOT_PRESENT:
		return TRAP_NOT_PRESENT;
	default:
		*error = page_fault_error(where, failed == FAILED_STACK ? FAULT_W : 0);
		return TRAP_PAGE_FAULT;
	}
}

static bool is_contributory(u32 vector)
{
	return vector == TRAP_DIVIDE || (vector >= TRAP_INVALID_TSS && vector <= TRAP_GENERAL);
}

/* The delivery of the first exception raised the second: do they make a double fault? */
static bool is_double_fault(u32 first, u32 second)
{
	return (is_contributory(first) && is_contributory(second)) ||
	       (first == TRAP_PAGE_FAULT && (is_contributory(second) || second == TRAP_PAGE_FAULT));
}

static void note(u32 vector, u32 error, u32 failed, u32 where, u32 raised)
{
	mailbox->faults[mailbox->fault_count++ % FAULT_RECORDS] = (struct fault_record){
		.vector = vector, .errcode = error, .cr2 = untrusted->guest_cr2, .failed = failed, .where = where, .raised = raised,
	};
}

/*
 * inject_once() failed: continue as the CPU does, until an exception has a handler or a triple fault ends the run.  The
 * longest sequence has four exceptions: a benign one, a contributory one, a page fault, the double fault.
 */
static void inject_failed(u32 vector, u32 error, u32 failed, u32 where, bool software)
{
	u32 first = vector, first_error = error, first_cr2 = untrusted->guest_cr2;
	char reason[REASON_BYTES];

	mailbox->fault_count = 0;
	while (failed) {
		u32 second_error, second = raised_by(vector, failed, where, software, &second_error);

		note(vector, error, failed, where, second);
		if (vector == TRAP_DOUBLE_FAULT && !software) {
			format(reason, sizeof(reason),
			       "vector %u (error code %#x, cr2 %#x, eip %#x) could not be delivered, nor could the double fault", first,
			       first_error, first_cr2, guest.regs->eip);
			end_guest(END_TRIPLE_FAULT, reason);
		}
		if (second == TRAP_PAGE_FAULT)
			untrusted->guest_cr2 = where;
		if (!software && is_double_fault(vector, second)) {
			second = TRAP_DOUBLE_FAULT;
			second_error = 0;
		}
		software = false;
		vector = second;
		error = second_error;
		failed = inject_once(vector, error, 0, &where);
	}
}

void native_inject(u32 vector, u32 error)
{
	u32 where = 0, failed = inject_once(vector, error, 0, &where);

	if (failed)
		inject_failed(vector, error, failed, where, false);
}

/* The Guest gets a debug exception, of this cause. */
void inject_debug(u32 cause)
{
	guest.halted = false;
	debug_raised(cause);
	native_inject(TRAP_DEBUG, 0);
}

/*
 * `int n` and int3, of so many bytes: the return address is the next instruction.  A kernel that has emptied its own IDT and
 * then executes int wants a restart by a triple fault.
 */
void native_software_interrupt(u32 vector, u32 length)
{
	u32 where = 0, failed = inject_once(vector, 0, length, &where);

	if (!failed)
		return;
	if (native.idt_loaded && native.idt_limit < GATE_BYTES - 1 && (guest.regs->cs & RPL) != RPL)
		end_guest(END_RESTART, "by a triple fault of its own making (an empty IDT, then int)");
	inject_failed(vector, 0, failed, where, true);
}

void native_page_fault(u32 address, u32 error)
{
	untrusted->guest_cr2 = address;
	native_inject(TRAP_PAGE_FAULT, error);
}
