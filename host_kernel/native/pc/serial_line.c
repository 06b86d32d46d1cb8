/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flow of input to the serial port's receiver.  It arrives in bursts, in which the FIFO is refilled as soon as it is empty.
 * After a burst the line pauses until the Guest is idle, or for a multiple of the burst's time.  Without a pause a driver
 * that reads until the port is empty would not end: it would starve other work, and then give up with the interrupt line
 * still high, so that no edge follows.
 * Read before: uart.c.
 */
#include "host_kernel/native/pc/uart.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/host.h"
#include "host_kernel/machine/mailbox.h"

#define SHARE 3u                /* a pause takes so many times the burst's time, */
#define BURST 128u              /* bytes */
#define LONGEST_PAUSE_MS 10u    /* but no longer than this */
#define POLLS 16u               /* so many reads of an empty line status in a row: the driver polls */

static u64 arrived, read_last; /* TSC of the burst's start and last read; read_last is 0 before its first read */
static u32 burst_left; /* bytes that may follow without a pause */
static bool pausing;

void line_was_polled(void)
{
	if (uart.polls < POLLS)
		uart.polls++;
}

/*
 * Input is held back until the Guest is ready for it: a driver that starts discards what it reads.  Without RTS the Guest's
 * buffers are full (flow control).
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
	exchange(&mailbox->input_tail, tail + taken); /* a barrier before the next read of the head */
	available = read_once(&mailbox->input_head) - (tail + taken);
	if (available <= INPUT_BYTES / 2 && available + taken > INPUT_BYTES / 2)
		mailbox_doorbell(); /* the Launcher may be waiting for room */
	uart.timed_out = uart.count && uart.count < uart_trigger();
}

/* The Guest read a byte. */
void line_was_read(void)
{
	u32 available = read_once(&mailbox->input_head) - mailbox->input_tail;

	read_last = rdtsc();
	if (uart.count || !available || !burst_left || !guest_wants_input())
		return;
	uart_update(); /* the interrupt line falls, so that the refill makes an edge */
	fill(available);
}

/* Start a burst, or raise the receiver's timeout interrupt, if it is due. */
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

/* During a pause the run loop must check the line again soon. */
bool line_pauses(void)
{
	return pausing;
}
