/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of the machine, in the Host kernel or while the Guest runs.  Read before: entries.S.
 * Next in the book: apic.c.
 */
#include "host_kernel/machine/interrupt.h"
#include "host_kernel/machine/apic.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/mailbox.h"
#include "switcher/layouts/lguest_pages.h"

/* Record and acknowledge it, with interrupts off; the run loop handles it. */
void host_interrupt(u32 vector)
{
	if (vector == VECTOR_TIMER) {
		clock_timer_fired();
	} else {
		apic_acknowledge_doorbell();
		mailbox_rung();
	}
	apic_end_of_interrupt();
}
