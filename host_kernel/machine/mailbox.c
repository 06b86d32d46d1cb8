/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel's side of struct mailbox (machine.h): notifications and console text for the Launcher, and interrupts of
 * its devices.  Each word has one writer, so no locks are needed.
 */
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/routines.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/clock.h"

static bool doorbell_rung HOT;
static u32 irq_seen[VIRTUAL_IRQS]; /* the value of mailbox->irq_raised that was last handled */

void mailbox_init(void)
{
	for (u32 irq = 0; irq < VIRTUAL_IRQS; irq++)
		irq_seen[irq] = read_once(&mailbox->irq_raised[irq]);
}

/* Wake the Launcher, unless it has not yet seen the last wake-up. */
void mailbox_doorbell(void)
{
	if (!exchange(&mailbox->doorbell, 1))
		outb(machine.doorbell_port, 1);
}

/* The Launcher's interrupt arrived, after its writes to the mailbox. */
void mailbox_rung(void)
{
	doorbell_rung = true;
}

/* Raise the interrupts of the Launcher's devices. */
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
 * A ring is full: sleep until its tail may have changed.  The Launcher sends an interrupt when it consumes from a full ring.
 * If it consumed just before the ring became full, it sends none, so check again after the doorbell's barrier.
 */
static void wait_for_room(const u32 *tail)
{
	u32 seen = read_once(tail);

	mailbox_doorbell();
	if (read_once(tail) == seen)
		wait_for_interrupt();
}

/*
 * A NOTIFY of a device.  For a virtqueue the Guest continues; for a descriptor (in the device page) it waits until the
 * Launcher has handled it, since the Guest then reads the result.
 */
void mailbox_notify(u32 address)
{
	u32 head = mailbox->notify_head, tail = read_once(&mailbox->notify_tail);
	bool must_wait = address < machine.guest_bytes + PAGE_BYTES;

	for (u32 entry = tail; entry != head && !must_wait; entry++)
		if (mailbox->notify[entry % NOTIFY_RECORDS] == address)
			return; /* it is in the ring, and the Launcher reads the virtqueue after consuming it */
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
 * Console output, in pieces of up to 16 bytes: the doorbell rings for a whole line, for half a ring, or when the Guest is
 * idle (mailbox_flush).
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

/* Record an exit for the report, which shows the last 64. */
void mailbox_record_switch(void)
{
	const struct registers *regs = guest.regs;

	struct switch_record *last = &mailbox->last[mailbox->switch_head++ % SWITCH_RECORDS];

	/* Single assignments: a compound literal is built on the stack first, and every world switch runs this. */
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
