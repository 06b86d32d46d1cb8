/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's own interrupts, when one hits the Host kernel or the Guest.  Read before: entries.S. */
#include "host_kernel/machine/interrupt.h"
#include "host_kernel/machine/apic.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/mailbox.h"
#include "switcher/layouts/lguest_pages.h"

/* Interrupts are off: note it and acknowledge it.  The run loop looks at what it means. */
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
