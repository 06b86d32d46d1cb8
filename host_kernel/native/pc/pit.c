/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254 timer: channel 0 is the clock interrupt; kernels measure time by channel 2 (its gate and output are in port
 * 0x61).  All times are in TSC cycles.  Source: Intel 8254 datasheet.  Read before: timers.c.  Read next: uart.c.
 */
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/host.h"

#define PIT_HZ 1193182u

struct channel {
	u64 start;  /* TSC when the count was loaded */
	u32 reload; /* 1 to 65536; 0: never loaded */
	u8 mode;    /* 0 to 5 */
	u8 access;  /* 1 low byte, 2 high byte, 3 low then high */
	u8 low;     /* the first byte of a count */
	u8 status;
	u16 latch;
	bool half_written, half_read, count_latched, status_latched;
};

static struct channel channels[3];
static u8 speaker; /* port 0x61: bit 0 is channel 2's gate, bit 1 enables the sound */

static u64 to_ticks(u64 cycles)
{
	return divide(scale(cycles, PIT_HZ, machine.tsc_khz), 1000, NULL);
}

static u64 to_cycles(u64 ticks)
{
	return scale(ticks * 1000, machine.tsc_khz, PIT_HZ);
}

static bool is_periodic(const struct channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

static u64 elapsed(const struct channel *channel)
{
	return channel->reload ? to_ticks(rdtsc() - channel->start) : 0;
}

/* How far into its period a periodic channel is, in ticks. */
static u32 phase(const struct channel *channel)
{
	u32 rest;

	divide(elapsed(channel), channel->reload, &rest);
	return rest;
}

static u16 count(const struct channel *channel)
{
	if (!channel->reload)
		return 0;
	if (!is_periodic(channel))
		return channel->reload - elapsed(channel);
	if (channel->mode == 2)
		return channel->reload - phase(channel);
	return channel->reload - 2 * phase(channel) % channel->reload;
}

static bool output(const struct channel *channel)
{
	if (!channel->reload)
		return channel->mode != 0;
	switch (channel->mode) {
	case 2:
		return phase(channel) != channel->reload - 1;
	case 3:
		return phase(channel) < (channel->reload + 1) / 2;
	case 4:
	case 5:
		return elapsed(channel) != channel->reload;
	default:
		return elapsed(channel) >= channel->reload;
	}
}

/* Set the deadline of channel 0's next interrupt. */
static void schedule(void)
{
	const struct channel *clock = &channels[0];
	u64 periods;

	if (!clock->reload) {
		timer_set(TIMER_PIT, 0, false);
		return;
	}
	periods = is_periodic(clock) ? divide(elapsed(clock), clock->reload, NULL) + 1 : 1;
	timer_set(TIMER_PIT, clock->start + to_cycles(periods * clock->reload), !is_periodic(clock));
}

static void expired(void)
{
	irq_line(IRQ_CLOCK, false);
	irq_line(IRQ_CLOCK, true);
	if (is_periodic(&channels[0]))
		schedule();
}

static void load(struct channel *channel, u32 value)
{
	channel->reload = value ? value : 0x10000;
	channel->start = rdtsc();
	if (channel == channels)
		schedule();
}

static void write_count(struct channel *channel, u8 value)
{
	if (channel->access == 1) {
		load(channel, value);
	} else if (channel->access == 2) {
		load(channel, value << 8);
	} else if (!channel->half_written) {
		channel->low = value;
		channel->half_written = true;
	} else {
		channel->half_written = false;
		load(channel, value << 8 | channel->low);
	}
}

static void latch_count(struct channel *channel)
{
	if (!channel->count_latched)
		channel->latch = count(channel);
	channel->count_latched = true;
}

static void latch_status(struct channel *channel)
{
	if (!channel->status_latched)
		channel->status = output(channel) << 7 | !channel->reload << 6 | channel->access << 4 | channel->mode << 1;
	channel->status_latched = true;
}

static void command(u8 value)
{
	struct channel *channel;

	if (value >> 6 == 3) { /* read back; a set bit means: do not latch */
		for (u32 number = 0; number < 3; number++) {
			if (!(value >> (number + 1) & 1))
				continue;
			if (!(value & 0x20))
				latch_count(&channels[number]);
			if (!(value & 0x10))
				latch_status(&channels[number]);
		}
		return;
	}
	channel = &channels[value >> 6];
	if (!(value & 0x30)) {
		latch_count(channel);
		return;
	}
	*channel = (struct channel){ .mode = value >> 1 & 7, .access = value >> 4 & 3 };
	if (channel->mode > 5)
		channel->mode -= 4; /* 6 and 7 are the same as 2 and 3 */
	if (channel == channels)
		schedule();
}

void pit_out(u16 port, u8 value)
{
	if (port == 0x43)
		command(value);
	else
		write_count(&channels[port - 0x40], value);
}

u8 pit_in(u16 port)
{
	struct channel *channel;
	u16 value;

	if (port == 0x43)
		return 0xFF;
	channel = &channels[port - 0x40];
	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	value = channel->count_latched ? channel->latch : count(channel);
	if (channel->access == 3 && !channel->half_read) {
		channel->half_read = true;
		return value;
	}
	channel->half_read = false;
	channel->count_latched = false;
	return channel->access == 1 ? value : value >> 8;
}

void pit_init(void)
{
	timer_init(TIMER_PIT, expired);
	for (u32 number = 0; number < 3; number++)
		channels[number] = (struct channel){ .mode = 3, .access = 3 };
}

u8 speaker_in(void)
{
	return (speaker & 3) | (rdtsc() >> 15 & 1) << 4 | output(&channels[2]) << 5;
}

void speaker_out(u8 value)
{
	struct channel *channel = &channels[2];

	if ((value & ~speaker & 1) && channel->reload && channel->mode != 0 && channel->mode != 4)
		channel->start = rdtsc(); /* a rising edge of the gate restarts these modes */
	speaker = value;
}
