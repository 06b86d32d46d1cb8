/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel's side of struct mailbox (machine.h): notifications and console text for the Launcher, and interrupts of
 * its devices.  Each word has one writer, so no locks are needed.
 * Picture: docs/pictures/life-console-byte.svg.
 * Next in the book: host_kernel/base/end.c.
 */
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/routines.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/clock.h"

#define POLLS_LOST     63
#define ANSWERS_AWAITED 15

void (*mailbox_pause)(void);
static bool doorbell_rung HOT;
static u32 notifies; /* since the Guest was last idle, without those whose answer it waited for */
static u32 awaited; /* how many more answers it is to wait for */
static bool notified HOT; /* the Launcher was notified since the Guest was last idle, so an answer may come soon */
static u32 polls_lost, polls_skipped; /* after looking in vain, the next waits halt at once: 1, 3, 7 … POLLS_LOST of them */

void mailbox_init(void)
{
	for (u32 number = 0; number < VIRTUAL_IRQS; number++)
		mailbox_irqs_forget(number);
}

/* What was raised until now is no interrupt. */
void mailbox_irqs_forget(u32 number)
{
	mailbox->irq_seen[number] = read_once(&mailbox->irq_raised[number]);
	mailbox->config_seen[number] = read_once(&mailbox->config_raised[number]);
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

/* Whether the Guest can wait for answers: ``busy``: it runs a program although one is missing. */
static void learn(bool busy)
{
	if (notifies)
		awaited = notifies == 1 && !busy ? ANSWERS_AWAITED : 0;
	notifies = 0;
}

/* Raise the interrupts of the Launcher's devices. */
void mailbox_irqs(void)
{
	if (!doorbell_rung)
		return;
	doorbell_rung = false;
	if (read_once(&mailbox->pause))
		mailbox_pause();
	for (u32 number = 1; number < VIRTUAL_IRQS; number++) {
		u32 raised = read_once(&mailbox->irq_raised[number]), config = read_once(&mailbox->config_raised[number]);

		if (raised != mailbox->irq_seen[number]) {
			mailbox->irq_seen[number] = raised;
			learn((guest.regs->cs & 3) == 3);
			personality.device_irq(number, ISR_QUEUE);
		}
		if (config != mailbox->config_seen[number]) {
			mailbox->config_seen[number] = config;
			personality.device_irq(number, ISR_CONFIG);
		}
	}
}

static bool irqs_raised(void)
{
	for (u32 number = 1; number < VIRTUAL_IRQS; number++)
		if (read_once(&mailbox->irq_raised[number]) != mailbox->irq_seen[number] ||
		    read_once(&mailbox->config_raised[number]) != mailbox->config_seen[number])
			return true;
	return false;
}

/*
 * Look for what the Launcher writes instead of halting: from poll_begin() on it sends no interrupt.  Returns the TSC at
 * which to give up.  Each side writes its own word, then has a barrier, then reads the other's: so after poll_end() the
 * caller must look once more, and the run loop handles what else the Launcher may have written.
 */
static u64 poll_begin(void)
{
	exchange(&mailbox->polling, 1);
	return rdtsc() + scale(machine.poll_microseconds, machine.tsc_khz, 1000);
}

static bool poll_more(u64 until)
{
	__asm__ volatile("pause");
	return rdtsc() < until;
}

static void poll_end(bool found)
{
	exchange(&mailbox->polling, 0);
	polls_lost = found ? 0 : polls_lost < POLLS_LOST ? 2 * polls_lost + 1 : POLLS_LOST;
	polls_skipped = polls_lost;
}

/* Whether to look at all: where the Launcher has no processor, looking only keeps it from one. */
static bool may_poll(void)
{
	if (!machine.poll_microseconds)
		return false;
	if (!polls_skipped)
		return true;
	polls_skipped--;
	return false;
}

/* Look for an interrupt of a device, or for input.  True: all that the Launcher may have written must be handled. */
static bool look(void)
{
	u32 input = read_once(&mailbox->input_head);
	u64 until;

	if (!may_poll())
		return false;
	if (guest.clock_deadline && rdtsc() >= guest.clock_deadline)
		return false; /* the timer's interrupt is due, and only a halt or the Guest lets it in */
	until = poll_begin();
	notified = guest.clock_deadline && guest.clock_deadline < until; /* then the clock interrupts it */
	if (notified)
		until = guest.clock_deadline;
	while (!irqs_raised() && read_once(&mailbox->input_head) == input && poll_more(until))
		;
	poll_end(irqs_raised());
	doorbell_rung = true;
	return true;
}

/* The Guest is idle: look for an answer to its last NOTIFY. */
bool mailbox_poll(void)
{
	mailbox->idles++;
	learn(false);
	return notified && look();
}

/*
 * A Guest that was idle after one NOTIFY may as well wait for the answers to the next ones before it runs on: then it need
 * not become idle, and no interrupt need wake it.  One that makes several requests before it is idle is not held up; so now
 * and then it does run on, to show which kind it is.
 */
static void await_answer(void)
{
	if (awaited) {
		awaited--;
		look();
	} else {
		notifies++;
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

/* The Guest waits until the Launcher has handled a request. */
static void wait_for_tail(const u32 *tail, u32 value)
{
	if (may_poll()) {
		u64 until = poll_begin();

		while (read_once(tail) != value && poll_more(until))
			;
		poll_end(read_once(tail) == value);
	}
	if (read_once(tail) != value)
		clock_disarm();
	while (read_once(tail) != value)
		wait_for_interrupt();
	doorbell_rung = true; /* what the Launcher raised before its answer comes before it for the Guest too */
}

/*
 * A NOTIFY of a device.  For a virtqueue the Guest continues; for a descriptor (in the device page) it waits until the
 * Launcher has handled it, since the Guest then reads the result.
 */
void mailbox_notify(u32 address)
{
	u32 head = mailbox->notify_head, tail = read_once(&mailbox->notify_tail);
	bool must_wait = address < machine.guest_bytes + PAGE_BYTES;

	notified = true;
	for (u32 entry = tail; entry != head && !must_wait; entry++)
		if (mailbox->notify[entry % NOTIFY_RECORDS] == address)
			return; /* it is in the ring, and the Launcher reads the virtqueue after consuming it */
	while (head - read_once(&mailbox->notify_tail) >= NOTIFY_RECORDS)
		wait_for_room(&mailbox->notify_tail);
	mailbox->notify[head % NOTIFY_RECORDS] = address;
	__asm__ volatile("" : : : "memory"); /* the entry before the head; x86 keeps the order of stores */
	mailbox->notify_head = head + 1;
	mailbox_doorbell();
	if (must_wait)
		wait_for_tail(&mailbox->notify_tail, head + 1);
	else
		await_answer();
}

/* A register of a PCI function that the Launcher answers: its value for a read. */
u32 mailbox_register(u32 slot, u32 offset, u32 size, bool write, u32 value)
{
	u32 head = mailbox->register_head + 1;

	mailbox->register_slot = slot;
	mailbox->register_offset = offset;
	mailbox->register_size = size;
	mailbox->register_write = write;
	mailbox->register_value = value;
	__asm__ volatile("" : : : "memory");
	mailbox->register_head = head;
	mailbox_doorbell();
	wait_for_tail(&mailbox->register_tail, head);
	return read_once(&mailbox->register_answer);
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
