/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual interrupts of an lguest Guest.  Its interrupt flag and its mask are in lguest_data.  It need not make a hypercall
 * for a pending interrupt: the Host kernel retries by a timer (clock.c).
 * Read before: inject.c.  Read next: hypercalls.c.
 * Next in the book: host_kernel/instruction/instruction.h.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/clock.h"

#define CLOCK_IRQ 1u /* as a bit */

void raise_irq(u32 irq)
{
	guest.pending |= 1u << irq;
}

void withdraw_irq(u32 irq)
{
	guest.pending &= ~(1u << irq);
}

/* The instructions of its interrupt return after the flag is set: an interrupt there would nest without bound. */
static bool in_noirq_window(void)
{
	return (guest.regs->cs & 3) == 1 && guest.regs->eip >= guest.noirq_start && guest.regs->eip < guest.noirq_end;
}

static u32 lowest_with_handler(u32 ready)
{
	for (u32 irq = 0; irq < LGUEST_IRQS; irq++)
		if ((ready >> irq & 1) && has_handler(FIRST_IRQ_VECTOR + irq))
			return irq;
	return LGUEST_IRQS;
}

/*
 * Three things hold an interrupt back: its mask, the end of an interrupt return, and the interrupt flag.  Of the last the
 * Guest is told by irq_pending, and can make a hypercall when it sets the flag.
 */
static void __attribute__((noinline)) inject_pending(struct lguest_data *data)
{
	u32 ready, irq;

	ready = guest.pending & ~data->blocked_interrupts;
	if (!ready || in_noirq_window())
		return;
	if (!(data->irq_enabled & GUEST_IF)) {
		data->irq_pending = GUEST_IF;
		return;
	}
	irq = lowest_with_handler(ready);
	if (irq == LGUEST_IRQS)
		return;
	guest.pending &= ~(1u << irq);
	guest.halted = false;
	clock_wall(&data->time_seconds, &data->time_nanoseconds);
	inject(FIRST_IRQ_VECTOR + irq, 0);
	/* An interrupt gate disables interrupts: irq_pending tells the handler to make a hypercall for the next one. */
	data->irq_pending = (ready & ~(1u << irq)) && !(data->irq_enabled & GUEST_IF) ? GUEST_IF : 0;
	mailbox->interrupts_delivered++;
}

/* Inject the first pending interrupt that the Guest does not mask, and wake it. */
void ALWAYS inject_interrupts(void)
{
	if (guest.pending && guest.data) /* rare */
		inject_pending(guest.data);
}

/* The Guest is halted: end the run if no interrupt can wake it. */
void check_wakeable(void)
{
	u32 open = guest.data ? ~guest.data->blocked_interrupts : 0;

	if (!guest.clock_deadline && !(guest.pending & CLOCK_IRQ))
		open &= ~CLOCK_IRQ;
	if (!open)
		end_guest(END_HALTED, "the Guest halted with every interrupt blocked and its clock off");
}
