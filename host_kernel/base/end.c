/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a run.  Each function writes the reason and the state of both worlds to the mailbox and stops the machine.
 * Read before: end.h.
 * Next in the book: host_kernel/lguest/lguest.h.
 */
#include "host_kernel/base/end.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/print.h"

static void stop(u32 kind, const void *caller) __attribute__((noreturn));
static void stop(u32 kind, const void *caller)
{
	if (guest.regs)
		mailbox->guest = *guest.regs;
	mailbox->guest_cr2 = guest.cr2;
	mailbox->guest_directory = guest.directory;
	if (read_cr0() & CR0_PG) /* otherwise the state page is not mapped yet */
		mailbox->shadow_directory = state->guest_cr3;
	mailbox->host_eip = (u32)caller;
	if (!mailbox->host.eip) /* not by an exception */
		mailbox->host = (struct registers){ .eip = (u32)caller, .esp = (u32)__builtin_frame_address(0), .cs = HOST_CS,
						    .ss = HOST_DS };
	mailbox->host_cr0 = read_cr0();
	mailbox->host_cr2 = read_cr2();
	mailbox->host_cr3 = read_cr3();
	mailbox->host_cr4 = read_cr4();
	mailbox->end_tsc = rdtsc();
	__asm__ volatile("" : : : "memory"); /* the machine can be stopped here: end_kind says that the rest is complete */
	mailbox->end_kind = kind;
	outb(machine.exit_port, EXIT_VALUE);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void end_guest(u32 kind, const char *message)
{
	format((char *)mailbox->end_reason, REASON_BYTES, "%s", message);
	stop(kind, __builtin_return_address(0));
}

void kill_guest(const char *why, ...)
{
	va_list values;

	va_start(values, why);
	format_list((char *)mailbox->end_reason, REASON_BYTES, why, values);
	va_end(values);
	stop(END_KILLED, __builtin_return_address(0));
}

void host_failed(const char *why, ...)
{
	va_list values;

	va_start(values, why);
	format_list((char *)mailbox->end_reason, REASON_BYTES, why, values);
	va_end(values);
	debug("Host kernel: %s\n", (char *)mailbox->end_reason);
	stop(END_INTERNAL, __builtin_return_address(0));
}

/* From entries.S: an exception in the Host kernel itself.  The CPU did not push esp and ss. */
void host_exception(const struct registers *at)
{
	mailbox->host = *at;
	mailbox->host.esp = (u32)&at->esp;
	mailbox->host.ss = HOST_DS;
	host_failed("exception %u, error code %#x, at eip %#x, cr2 %#x, esp %#x", at->trapnum, at->errcode, at->eip,
		    read_cr2(), (u32)&at->esp);
}
