/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trace: a record of each world switch, with its times, in a ring that the Launcher reads.  While it is off nothing of it
 * runs, not even a test: to turn it on, two pointers that the run loop calls through anyway are exchanged, world_switch and
 * personality.asleep.  It is turned on and off when the machine starts, and after it stood still.
 *
 * The Host kernel does not wait for the Launcher: a record that finds no room is counted, and the next one says how many were.
 * What the Switcher answers by itself does not come here.  Each record has the count of that.
 *
 * Samples, for a profile of the Guest: the timer exits when one is due.  One that became due in the Host kernel is taken before
 * the Guest goes on.  The stack is followed by its frame pointers; all reads go through the Guest's own tables, so a Guest
 * that forges them forges its own profile only.
 * Read before: run.c, host_kernel/machine/world_switch.h.  Read next: lguest_py/trace/stream.py, the other end.
 */
#include "host_kernel/core/trace.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/machine/second_return.h"
#include "host_kernel/machine/world_switch.h"
#include "host_kernel/memory/guest_virtual.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/switcher.h"

#define RPL 3
#define CODE_BYTES 8
#define TOLERANCE 4 /* a sixteenth of the period */
#define FRAMES_MOST (3 * TRACE_ADDRESSES)
#define FRAME_REACH 0x4000u /* a frame pointer leads no farther up than this */

_Static_assert(sizeof(struct trace_record) == 64 && sizeof(struct trace_stack) == 64, "both are entries of one ring");

static struct trace_record *const ring = (struct trace_record *)TRACE_ADDRESS;
static u32 lost;
static u64 idle_since; /* 0: it was not idle since its last exit */
static u64 sample_due, period; /* 0: no samples */
static void (*plain_asleep)(void);

/* The next entry of the ring, or NULL: it is full. */
static struct trace_record *next_entry(void)
{
	struct trace_record *entry = &ring[mailbox->trace_head % TRACE_RECORDS];

	if (mailbox->trace_head - read_once(&mailbox->trace_tail) >= TRACE_RECORDS) {
		lost++;
		return NULL;
	}
	entry->lost = lost;
	lost = 0;
	return entry;
}

static void publish(void)
{
	__asm__ volatile("" : : : "memory"); /* the entry before the head; x86 keeps the order of stores */
	mailbox->trace_head++;
	if (mailbox->trace_head - read_once(&mailbox->trace_tail) == TRACE_RECORDS / 2)
		mailbox_doorbell();
}

/* What else there is to know, by the exit's kind. */
static void add_data(struct trace_record *entry)
{
	const struct registers *regs = guest.regs;

	for (u32 word = 0; word < TRACE_DATA; word++)
		entry->data[word] = 0;
	if (regs->trapnum == TRAP_PAGE_FAULT) {
		entry->data[0] = regs->errcode;
		entry->data[1] = read_cr2();
	} else if (regs->trapnum == HYPERCALL_VECTOR) {
		entry->data[0] = regs->ebx;
		entry->data[1] = regs->ecx;
		entry->data[2] = regs->edx;
		entry->data[3] = regs->esi;
	} else {
		entry->data[0] = regs->errcode;
		entry->data[1] = regs->edx;
		if (regs->trapnum < VECTOR_TIMER)
			guest_try_read(&entry->data[2], regs->eip + personality.segment_base(regs->cs), CODE_BYTES);
	}
}

static void record(u64 entered, u64 left)
{
	const struct registers *regs = guest.regs;
	struct trace_record *entry = next_entry();

	if (!entry)
		return;
	entry->kind = regs->trapnum;
	entry->cs = regs->cs;
	entry->entered = entered;
	entry->left = left;
	entry->idle = idle_since;
	entry->eip = regs->eip;
	entry->eax = regs->eax;
	entry->directory = guest.directory;
	entry->fast_paths = untrusted->fast_paths;
	add_data(entry);
	publish();
}

/* eip, and in the Guest's kernel the return addresses; how many. */
static u32 walk_stack(u32 *to)
{
	const struct registers *regs = guest.regs;
	u32 count = 0, frame[2] = { regs->ebp, 0 }, low = regs->esp;

	to[count++] = regs->eip;
	if ((regs->cs & RPL) == RPL)
		return count;
	while (count < FRAMES_MOST && frame[0] >= low && frame[0] - low < FRAME_REACH && !(frame[0] % sizeof(u32))) {
		low = frame[0] + sizeof(frame);
		if (!guest_try_read(frame, frame[0], sizeof(frame)) || !frame[1])
			break;
		to[count++] = frame[1];
	}
	return count;
}

static void sample(u16 kind)
{
	u32 addresses[FRAMES_MOST], count = walk_stack(addresses);

	for (u32 from = 0; from < count; from += TRACE_ADDRESSES) {
		struct trace_stack *entry = (struct trace_stack *)next_entry();

		if (!entry)
			return;
		entry->kind = from ? TRACE_SAMPLE_MORE : kind;
		entry->count = count - from < TRACE_ADDRESSES ? count - from : TRACE_ADDRESSES;
		entry->ring = guest.regs->cs & RPL;
		for (u32 index = 0; index < entry->count; index++)
			entry->addresses[index] = addresses[from + index];
		publish();
	}
}

/*
 * Take a sample if one is due, and see to it that the next one interrupts the Guest.  While it was idle there is none, nor before
 * a return by a second frame, which has the Switcher's eip in the first.
 */
static void sample_at(u64 now, u16 kind)
{
	if (!period)
		return;
	if (sample_due && now >= sample_due && !idle_since && guest.regs->cs != HOST_CS)
		sample(kind);
	if (now >= sample_due)
		sample_due = now + period;
	clock_exit_by(sample_due);
}

static inline __attribute__((always_inline)) u32 traced(u32 (*plain)(void))
{
	u64 entered, left;
	u32 frame;

	sample_at(rdtsc(), TRACE_SAMPLE_HOST);
	entered = rdtsc();
	frame = plain();
	left = rdtsc();
	if (frame != FRAME_ADDRESS)
		return frame;
	record(entered, left);
	idle_since = 0;
	/* The timer's clock is not the TSC's: it may fire a little before. */
	if (guest.regs->trapnum == VECTOR_TIMER && period && left + (period >> TOLERANCE) >= sample_due) {
		sample(TRACE_SAMPLE);
		sample_due = left + period;
	}
	return frame;
}

static u32 traced_classic(void)
{
	return traced(switch_to_guest);
}

static u32 traced_lean(void)
{
	return traced(switch_to_guest_lean);
}

static void traced_asleep(void)
{
	if (!idle_since)
		idle_since = rdtsc();
	plain_asleep();
}

/* Turn it on or off, as the Launcher wants it now.  Called after each time that the machine stood still. */
void trace_obey(void)
{
	bool wanted = read_once(&mailbox->trace);
	u32 rate = read_once(&mailbox->trace_rate);
	u32 (*plain)(void) = is_lean() ? switch_to_guest_lean : switch_to_guest;
	u32 (*with_record)(void) = is_lean() ? traced_lean : traced_classic;

	sample_due = 0;
	period = rate ? divide((u64)machine.tsc_khz * 1000, rate, NULL) : 0;
	if (wanted == mailbox->traced)
		return;
	second_return_exchange(wanted ? plain : with_record, wanted ? with_record : plain);
	if (wanted) {
		lost = 0;
		idle_since = 0;
		plain_asleep = personality.asleep;
	}
	personality.asleep = wanted ? traced_asleep : plain_asleep;
	mailbox->traced = wanted;
}
