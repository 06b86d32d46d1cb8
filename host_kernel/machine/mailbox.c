/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel's side of struct mailbox (machine.h): what the Launcher must do for the Guest, what it must show,
 * and the interrupts that its devices raise.  Each word has one writer, so nothing here needs a lock.
 */
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/routines.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/clock.h"

static bool doorbell_rung HOT;
static u32 irq_seen[VIRTUAL_IRQS]; /* how many of mailbox->irq_raised we have passed on */

void mailbox_init(void)
{
	for (u32 irq = 0; irq < VIRTUAL_IRQS; irq++)
		irq_seen[irq] = read_once(&mailbox->irq_raised[irq]);
}

/* Wake the Launcher, unless a wake-up is still on its way. */
void mailbox_doorbell(void)
{
	if (!exchange(&mailbox->doorbell, 1))
		outb(machine.doorbell_port, 1);
}

/* The Launcher's interrupt came: it follows whatever the Launcher wrote. */
void mailbox_rung(void)
{
	doorbell_rung = true;
}

/* Take note of what devices raised. */
void mailbox_irqs(void)
{
	if (!doorbell_rung)
		return;
	doorbell_rung = false;
	for (u32 irq = 1; irq < VIRTUAL_IRQS; irq++) {
		u32 raised = read_once(&mailbox->irq_raised[irq]);

		if (raised != irq_seen[irq]) {
			irq_seen[irq] = raised;
			personality.device_irq(irq);
		}
	}
}

/*
 * A ring is full: sleep until its tail may have moved.  The Launcher sends an interrupt when it takes from a full ring;
 * had it taken just before the ring was full, it sent none, so look again behind the doorbell's barrier.
 */
static void wait_for_room(const u32 *tail)
{
	u32 seen = read_once(tail);

	mailbox_doorbell();
	if (read_once(tail) == seen)
		wait_for_interrupt();
}

/*
 * A NOTIFY of a device.  A virtqueue's is passed on while the Guest runs; a descriptor's (in the device page) holds
 * the Guest until the Launcher has dealt with it, since the Guest reads back what that changed.
 */
void mailbox_notify(u32 address)
{
	u32 head = mailbox->notify_head, tail = read_once(&mailbox->notify_tail);
	bool must_wait = address < machine.guest_bytes + PAGE_BYTES;

	for (u32 entry = tail; entry != head && !must_wait; entry++)
		if (mailbox->notify[entry % NOTIFY_RECORDS] == address)
			return; /* it is in the ring already, and the Launcher will look after taking it out */
	while (head - read_once(&mailbox->notify_tail) >= NOTIFY_RECORDS)
		wait_for_room(&mailbox->notify_tail);
	mailbox->notify[head % NOTIFY_RECORDS] = address;
	__asm__ volatile("" : : : "memory"); /* the entry before the head; x86 keeps the order of stores */
	mailbox->notify_head = head + 1;
	if (must_wait)
		clock_disarm();
	mailbox_doorbell();
	while (must_wait && read_once(&mailbox->notify_tail) != head + 1)
		wait_for_interrupt();
}

/*
 * Early console output, which comes in pieces of 16 bytes: the Launcher hears of a whole line, of much, or when the
 * Guest has nothing to do (mailbox_flush).
 */
void mailbox_text(const u8 *text, u32 count)
{
	bool line = false;

	for (u32 index = 0; index < count; index++) {
		while (mailbox->text_head - read_once(&mailbox->text_tail) >= TEXT_BYTES)
			wait_for_room(&mailbox->text_tail);
		mailbox->text[mailbox->text_head % TEXT_BYTES] = text[index];
		__asm__ volatile("" : : : "memory");
		mailbox->text_head++;
		line |= text[index] == '\n';
	}
	if (line || mailbox->text_head - read_once(&mailbox->text_tail) > TEXT_BYTES / 2)
		mailbox_doorbell();
}

void mailbox_flush(void)
{
	if (mailbox->text_head != read_once(&mailbox->text_tail))
		mailbox_doorbell();
}

/* For the report: one more exit, of which the last 64 are kept. */
void mailbox_record_switch(void)
{
	const struct registers *regs = guest.regs;

	struct switch_record *last = &mailbox->last[mailbox->switch_head++ % SWITCH_RECORDS];

	/* One by one: a compound literal goes by the stack, and this is on the way of every world switch. */
	last->tsc = rdtsc();
	last->trapnum = regs->trapnum;
	last->errcode = regs->errcode;
	last->cs = regs->cs;
	last->eip = regs->eip;
	last->eax = regs->eax;
	last->cr2 = guest.cr2;
	mailbox->by_vector[regs->trapnum % IDT_ENTRIES]++;
	mailbox->rings_seen |= 1u << (regs->cs & 3);
}
