/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Initialisation of the Host kernel: a 32-bit ring-0 kernel whose one purpose is to run a Guest in ring 1, as lg.ko did.
 * Read before: start.S.  Read next: host_kernel/core/run.c; host_kernel/machine/tables.c for the CPU's tables.
 * Next in the book: host_kernel/base/host.h.
 */
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/core/run.h"
#include "host_kernel/core/trace.h"
#include "host_kernel/debugger/debugger.h"
#include "host_kernel/machine/apic.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/machine/saved.h"
#include "host_kernel/machine/tables.h"
#include "host_kernel/memory/page_tables.h"
#include "host_kernel/pci/pci.h"
#include "switcher/switcher.h"

/* From the linker script: the first byte after the image. */
extern u8 image_end[];

/*
 * Called by start.S, and does not return.  The Launcher's struct machine says which machine the Guest expects (its
 * personality) and which Switcher is used; both are chosen here, once, so that the run loop need not ask.
 */
void host_main(const struct machine *given)
{
	machine = *given;
	mailbox->boot_tsc = rdtsc();
	if (machine.magic != MACHINE_MAGIC)
		host_failed("no struct machine at %#x", (u32)given);
#ifndef PAE
	if (machine.personality == PERSONALITY_LGUEST)
		personality = lguest_personality;
	else
#endif
	if (machine.personality == PERSONALITY_NATIVE)
		personality = native_personality;
	else
		host_failed("unknown personality %u", machine.personality);
	if (machine.switcher > SWITCHER_LEAN)
		host_failed("unknown Switcher %u", machine.switcher);
	world_switch = is_lean() ? switch_to_guest_lean : switch_to_guest;
	switcher_entries = is_lean() ? lean_entries : classic_entries;
	switcher_return = (u32)(is_lean() ? lean_return : classic_return);
	page_tables_init();
	pci_init();
	guest_idt_init();
	tables_init();
	apic_init();
	clock_init();
	personality.init();
	mailbox_init();
	after_standing_still = trace_obey;
	trace_obey();
	debugger_init(); /* stands still if the Guest waits for gdb */
	run();
}
