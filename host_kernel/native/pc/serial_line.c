/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When input reaches the serial port's receiver.  It comes in bursts, within which the FIFO is full again as soon as it
 * was emptied.  Then the line pauses until the Guest is idle, or has had several times as long for the rest of its work.
 * Without a pause a driver that reads until the port is empty would never find it so: it would starve all else, and
 * give up some time with the interrupt line still high, where no edge follows.
 * Read before: uart.c.
 */
#include "host_kernel/native/pc/uart.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/host.h"
#include "host_kernel/machine/mailbox.h"

#define SHARE 3u                /* a pause is so many times as long as the burst took, */
#define BURST 128u              /* bytes */
#define LONGEST_PAUSE_MS 10u    /* but no longer than this */
#define POLLS 16u               /* a driver without interrupts is known by so many looks in vain, one after the other */

static u64 arrived, read_last; /* TSC, of the burst; read_last is 0: it was not begun */
static u32 burst_left; /* bytes that may follow without a pause */
static bool pausing;

void line_was_polled(void)
{
	if (uart.polls < POLLS)
		uart.polls++;
}

/*
 * Before the Guest waits for it, input is held back: a driver that starts reads and drops what it finds.  And so it is
 * while the Guest does not request to send: with flow control on, its buffers are full.
 */
static bool guest_wants_input(void)
{
	if ((uart.modem & (MCR_LOOP | MCR_RTS)) != MCR_RTS || uart.count >= uart_capacity())
		return false;
	return (uart.enable & IER_RECEIVED) || uart.polls >= POLLS;
}

static bool pause_has_ended(void)
{
	u64 pause = (read_last - arrived) * SHARE, longest = (u64)machine.tsc_khz * LONGEST_PAUSE_MS;

	if (guest.halted || !read_last)
		return true;
	return rdtsc() - read_last >= (pause < longest ? pause : longest);
}

static void fill(u32 available)
{
	u32 tail = mailbox->input_tail, taken = 0;

	while (taken < available && taken < burst_left && uart.count < uart_capacity())
		uart_push(mailbox->input[(tail + taken++) % INPUT_BYTES]);
	burst_left -= taken;
	exchange(&mailbox->input_tail, tail + taken); /* seen by all before we look at the head again */
	available = read_once(&mailbox->input_head) - (tail + taken);
	if (available <= INPUT_BYTES / 2 && available + taken > INPUT_BYTES / 2)
		mailbox_doorbell(); /* the Launcher may be waiting for room */
	uart.timed_out = uart.count && uart.count < uart_trigger();
}

/* A byte was read. */
void line_was_read(void)
{
	u32 available = read_once(&mailbox->input_head) - mailbox->input_tail;

	read_last = rdtsc();
	if (uart.count || !available || !burst_left || !guest_wants_input())
		return;
	uart_update(); /* the interrupt line falls for a moment */
	fill(available);
}

/* Let the line do what is due. */
void line_check(void)
{
	u32 available = read_once(&mailbox->input_head) - mailbox->input_tail;
	bool burst, timeout_due;

	pausing = false;
	if (!available && !uart.count)
		return;
	burst = available && guest_wants_input();
	timeout_due = uart.count && uart.count < uart_trigger() && !uart.timed_out;
	if (!burst && !timeout_due)
		return;
	pausing = !pause_has_ended();
	if (pausing)
		return;
	burst_left = BURST;
	arrived = rdtsc();
	read_last = 0;
	fill(burst ? available : 0);
	uart_update();
}

/* The line is to be looked at soon, whatever the Guest does. */
bool line_pauses(void)
{
	return pausing;
}
