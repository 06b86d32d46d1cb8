/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start of a machine that has the memory of one that was saved: what its processor and its interrupt controllers lack.
 * Read before: start.S, host_kernel/machine/saved.c.
 * Next in the book: lguest_py/cli/confinement.py.
 */
#include "host_kernel/base/end.h"
#include "host_kernel/base/host.h"
#include "host_kernel/core/run.h"
#include "host_kernel/machine/apic.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/machine/saved.h"
#include "host_kernel/machine/tables.h"

#define RATE_PART 50u /* the rates may differ by one in so many: one of them was measured, perhaps on a busy machine */

/* Called by restore_processor (restored.S), on a stack of its own. */
void host_restored(const struct machine *given)
{
	u32 khz;

	machine.doorbell_port = given->doorbell_port;
	machine.doorbell_pin = given->doorbell_pin;
	machine.doorbell_ack_port = given->doorbell_ack_port;
	machine.debug_port = given->debug_port;
	machine.exit_port = given->exit_port;
	machine.poll_microseconds = given->poll_microseconds;
	tables_load();
	apic_init();
	clock_restored();
	debug_registers_restored();
	if (!saved_fits())
		end_guest(END_OTHER_PROCESSOR, "it lacks a feature of the one where the Guest was saved");
	khz = given->tsc_khz ? given->tsc_khz : apic_measure_tsc();
	if (khz > machine.tsc_khz + machine.tsc_khz / RATE_PART || khz < machine.tsc_khz - machine.tsc_khz / RATE_PART)
		end_guest(END_OTHER_PROCESSOR, "its time-stamp counter has another rate than where the Guest was saved");
}
