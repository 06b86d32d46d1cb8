/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Synchronous hypercalls, and the ring of asynchronous ones: order, a full ring, the cursor's wrap, the status bytes,
 * and that the Host drains the ring before a synchronous hypercall. The limit of a segment shows which LOAD_GDT_ENTRY
 * came last.
 *
 * Read next: test_segments.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/bus/pci.h"
#include "guest_kernel/bus/virtio.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/tests/test.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define LIMIT(number) (0x1000u + (number))

static u32 limit(void)
{
	u32 selector = GDT_TEST * 8 | 1, result = 0;
	__asm__ volatile("lsl %1, %0" : "+r"(result) : "r"(selector) : "cc");
	return result;
}

static void set_limit(u32 number)
{
	segment_load(GDT_TEST, 0, LIMIT(number), SEGMENT_DATA);
}

static void set_limit_async(u32 number)
{
	u32 words[2];
	segment_descriptor(0, LIMIT(number), SEGMENT_DATA, words);
	hypercall_async(LHCALL_LOAD_GDT_ENTRY, GDT_TEST, words[0], words[1], 0);
}

static u32 pending_entries(void)
{
	u32 count = 0;
	for (u32 i = 0; i < HCALL_RING; i++)
		count += lguest_data.hcall_status[i] != HCALL_FREE;
	return count;
}

/* Leaves the ring empty and to the test alone. */
static void take_ring(void)
{
	test_take_clock();
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

TEST(facts, "hypercalls: LGUEST_INIT gave reserve_mem and the TSC's rate")
{
	ASSERT_EQ("reserve_mem", RESERVE_MEM, lguest_data.reserve_mem);
	ASSERT(lguest_data.tsc_khz);
}

TEST(registers_kept, "hypercalls: no register changes but eax")
{
	u32 nr = LHCALL_FLUSH_ASYNC, ebx = 0xB0B, ecx = 0xC0C, edx = 0xD0D, esi = 0xE51, edi = 0xED1;
	__asm__ volatile("int %6"
			 : "+a"(nr), "+b"(ebx), "+c"(ecx), "+d"(edx), "+S"(esi), "+D"(edi)
			 : "i"(HYPERCALL_VECTOR) : "memory");
	ASSERT_EQ("ebx", 0xB0B, ebx);
	ASSERT_EQ("ecx", 0xC0C, ecx);
	ASSERT_EQ("edx", 0xD0D, edx);
	ASSERT_EQ("esi", 0xE51, esi);
	ASSERT_EQ("edi", 0xED1, edi);
}

TEST(at_once, "hypercalls: a synchronous one takes effect at once")
{
	set_limit(1);
	ASSERT_EQ("limit", LIMIT(1), limit());
	set_limit(2);
	ASSERT_EQ("limit", LIMIT(2), limit());
}

TEST(async_waits, "asynchronous: an entry is pending until FLUSH_ASYNC, its status is 0xFF then")
{
	take_ring();
	set_limit(1);
	u32 cursor = hypercall_ring_cursor();
	set_limit_async(2);
	ASSERT_EQ("status", 0, lguest_data.hcall_status[cursor]);
	ASSERT_EQ("limit before", LIMIT(1), limit());
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	ASSERT_EQ("limit after", LIMIT(2), limit());
	ASSERT_EQ("status", HCALL_FREE, lguest_data.hcall_status[cursor]);
}

TEST(async_before_sync, "asynchronous: the ring is drained before a synchronous call")
{
	take_ring();
	set_limit_async(1);
	set_limit(2);
	ASSERT_EQ("limit", LIMIT(2), limit());
	ASSERT_EQ("pending entries", 0, pending_entries());
}

TEST(async_any_call, "asynchronous: any synchronous call drains the ring")
{
	static const u32 calls[] = { LHCALL_FLUSH_ASYNC, LHCALL_FLUSH_TLB, LHCALL_SEND_INTERRUPTS };
	take_ring();
	for (u32 i = 0; i < 3; i++) {
		set_limit_async(i);
		hypercall(calls[i], 0, 0, 0, 0);
		ASSERT_EQ("limit", LIMIT(i), limit());
	}
}

TEST(async_halt, "asynchronous: HALT drains the ring, with a clock event in it")
{
	take_ring();
	irq_disable();
	set_limit_async(7);
	hypercall_async(LHCALL_SET_CLOCKEVENT, 1000000, 0, 0, 0);
	hypercall(LHCALL_HALT, 0, 0, 0, 0);
	ASSERT_EQ("limit", LIMIT(7), limit());
	ASSERT_EQ("interrupts", 1, test_clock_count());
}

TEST(async_order, "asynchronous: entries are handled in order")
{
	take_ring();
	for (u32 i = 0; i < 10; i++)
		set_limit_async(i);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	ASSERT_EQ("limit", LIMIT(9), limit());
}

TEST(async_full, "asynchronous: 64 entries at once")
{
	take_ring();
	set_limit(100);
	for (u32 i = 0; i < HCALL_RING; i++)
		set_limit_async(i);
	ASSERT_EQ("pending entries", HCALL_RING, pending_entries());
	ASSERT_EQ("limit before", LIMIT(100), limit());
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	ASSERT_EQ("limit", LIMIT(HCALL_RING - 1), limit());
	ASSERT_EQ("pending entries", 0, pending_entries());
}

TEST(async_overfull, "asynchronous: with the ring full the next call is synchronous")
{
	take_ring();
	for (u32 i = 0; i <= HCALL_RING; i++)
		set_limit_async(i);
	ASSERT_EQ("limit", LIMIT(HCALL_RING), limit());
	ASSERT_EQ("pending entries", 0, pending_entries());
}

TEST(async_round, "asynchronous: the cursor wraps, and is kept between calls")
{
	take_ring();
	u32 next = 0;
	for (u32 batch = 1; batch <= 40; batch++) {
		for (u32 i = 0; i < batch % 7 + 1; i++)
			set_limit_async(++next);
		hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
		ASSERT_EQ("limit", LIMIT(next), limit());
		ASSERT_EQ("pending entries", 0, pending_entries());
	}
}

/* Writes an entry at a distance from the cursor, which stays. */
static void plant(u32 distance, u32 number)
{
	u32 words[2], at = (hypercall_ring_cursor() + distance) % HCALL_RING;
	volatile struct hypercall_entry *entry = &lguest_data.hcalls[at];
	segment_descriptor(0, LIMIT(number), SEGMENT_DATA, words);
	entry->nr = LHCALL_LOAD_GDT_ENTRY;
	entry->arg1 = GDT_TEST;
	entry->arg2 = words[0];
	entry->arg3 = words[1];
	lguest_data.hcall_status[at] = 0;
}

TEST(async_stop, "asynchronous: the Host stops at the first free entry")
{
	take_ring();
	set_limit(1);
	plant(1, 2);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	ASSERT_EQ("limit with a gap before", LIMIT(1), limit());
	ASSERT_EQ("pending entries", 1, pending_entries());
	plant(0, 3);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	hypercall_ring_skip(2);
	ASSERT_EQ("limit with the gap filled", LIMIT(2), limit());
	ASSERT_EQ("pending entries", 0, pending_entries());
}

TEST(async_notify, "asynchronous: NOTIFY in the ring, and what follows it, are handled before the call returns")
{
	static char text[] = "";
	take_ring();
	set_limit_async(1);
	hypercall_async(LHCALL_NOTIFY, physical(text), 0, 0, 0);
	set_limit_async(2);
	hypercall(LHCALL_NOTIFY, physical(text), 0, 0, 0);
	ASSERT_EQ("limit", LIMIT(2), limit());
	ASSERT_EQ("pending entries", 0, pending_entries());
}

TEST(async_notify_device, "asynchronous: NOTIFY of a device in the ring, then more")
{
	struct virtio_device *console = console_device();
	take_ring();
	if (!console || pci_present())
		return; /* the device page has none */
	set_limit_async(1);
	for (u32 i = 0; i < 3; i++) {
		hypercall_async(LHCALL_NOTIFY, console->queues[1].place, 0, 0, 0);
		set_limit_async(2 + i);
	}
	set_limit(9);
	ASSERT_EQ("limit", LIMIT(9), limit());
	ASSERT_EQ("pending entries", 0, pending_entries());
}

TEST(send_interrupts, "hypercalls: SEND_INTERRUPTS with none pending does nothing")
{
	take_ring();
	hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	ASSERT_EQ("interrupts", 0, test_clock_count());
	ASSERT_EQ("irq_enabled", GUEST_IF, lguest_data.irq_enabled);
}

TEST(notify_early, "hypercalls: NOTIFY of text in RAM, of 0 and of 16 bytes")
{
	static char empty[] = "", text[] = "(early text ok)\n";
	hypercall(LHCALL_NOTIFY, physical(empty), 0, 0, 0);
	hypercall(LHCALL_NOTIFY, physical(text), 0, 0, 0);
	ASSERT_EQ("length", 16, text_length(text));
}
