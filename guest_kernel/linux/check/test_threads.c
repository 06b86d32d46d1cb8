/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads: their thread-local segments over many switches, and futexes. */
#include "guest_kernel/linux/check/probe.h"

#define THREADS 3
#define TURNS   300
#define FIRST_TLS 6 /* where the GDT has the three of them */
#define SELECTOR(number) ((number) << 3 | 3u)

struct local {
	u32 self, other[2];
	volatile u32 turns, wrong;
	struct thread thread;
};

static struct local locals[THREADS];

static u32 read_gs(void)
{
	u32 value;

	__asm__ volatile("movl %%gs:0, %0" : "=r"(value) : : "memory");
	return value;
}

static u32 read_fs(void)
{
	u32 value;

	__asm__ volatile("movl %%fs:0, %0" : "=r"(value) : : "memory");
	return value;
}

static void load_gs(u32 selector)
{
	__asm__ volatile("movl %0, %%gs" : : "r"(selector) : "memory");
}

static void load_fs(u32 selector)
{
	__asm__ volatile("movl %0, %%fs" : : "r"(selector) : "memory");
}

static struct segment data_segment(u32 number, void *base)
{
	return (struct segment){ number, (u32)base, 0xFFFFF, 1, SEGMENT_DATA, 0, 1, 0, 1 };
}

/* gs is one segment, fs another, and the third is looked at by es. */
static void runs(void *argument)
{
	struct local *mine = argument;
	struct segment second = data_segment(FIRST_TLS + 1, &mine->other[0]), third = data_segment(FIRST_TLS + 2, &mine->other[1]);
	u32 value;

	load_gs(SELECTOR(FIRST_TLS));
	if (set_thread_area(&second) || set_thread_area(&third))
		mine->wrong++;
	load_fs(SELECTOR(FIRST_TLS + 1));
	for (u32 turn = 0; turn < TURNS; turn++) {
		if (turn % 3 == 0)
			yield_cpu();
		__asm__ volatile("pushl %%es; movl %1, %%es; movl %%es:0, %0; popl %%es"
				 : "=r"(value) : "r"(SELECTOR(FIRST_TLS + 2)) : "memory");
		mine->wrong += read_gs() != mine->self || read_fs() != mine->other[0] || value != mine->other[1];
		mine->turns++;
	}
}

CHECK(tls, "threads-tls")
{
	for (u32 index = 0; index < THREADS; index++) {
		struct local *mine = &locals[index];
		struct segment segment = data_segment(FIRST_TLS, mine);

		mine->self = 0x1000 + index;
		mine->other[0] = 0x2000 + index;
		mine->other[1] = 0x3000 + index;
		HOLDS(thread_start(&mine->thread, &segment, runs, mine));
	}
	for (u32 index = 0; index < THREADS; index++) {
		thread_join(&locals[index].thread);
		SAME("turns", TURNS, locals[index].turns);
		SAME("wrong", 0, locals[index].wrong);
	}
}

/* Nobody yields: only the clock takes the processor away, at any instruction. */
static volatile bool stop;

static void spins(void *argument)
{
	struct local *mine = argument;

	load_gs(SELECTOR(FIRST_TLS));
	while (!stop) {
		mine->wrong += read_gs() != mine->self;
		mine->turns++;
	}
}

CHECK(preempted, "threads-preempted")
{
	for (u32 index = 0; index < THREADS; index++) {
		struct segment segment = data_segment(FIRST_TLS, &locals[index]);

		locals[index].self = 0x4000 + index;
		HOLDS(thread_start(&locals[index].thread, &segment, spins, &locals[index]));
	}
	for (u32 turn = 0; turn < 30; turn++)
		sleep_ms(10);
	for (u32 index = 0; index < THREADS; index++)
		HOLDS(WAIT_FOR(locals[index].turns > 1000));
	stop = true;
	for (u32 index = 0; index < THREADS; index++) {
		thread_join(&locals[index].thread);
		SAME("wrong", 0, locals[index].wrong);
	}
}

CHECK(slots, "threads-segments")
{
	static u32 values[4] = { 1, 2, 3, 4 };
	struct segment segment;
	struct fault got;

	for (u32 slot = 0; slot < 3; slot++) {
		segment = data_segment((u32)-1, &values[slot]);
		SAME("set_thread_area()", 0, set_thread_area(&segment));
		SAME("the slot it chose", FIRST_TLS + slot, segment.number);
	}
	segment = data_segment((u32)-1, values);
	SAME("a fourth", -ESRCH, set_thread_area(&segment));
	segment = data_segment(12, values);
	SAME("the kernel's own", -EINVAL, set_thread_area(&segment));
	for (u32 slot = 0; slot < 3; slot++) {
		load_gs(SELECTOR(FIRST_TLS + slot));
		load_fs(SELECTOR(FIRST_TLS + slot));
		SAME("by gs", values[slot], read_gs());
		SAME("by fs", values[slot], read_fs());
	}
	segment = data_segment(FIRST_TLS + 2, &values[3]);
	SAME("a change of the one in use", 0, set_thread_area(&segment));
	yield_cpu();
	SAME("by gs, then", values[3], read_gs());
	SAME("by fs, then", values[3], read_fs());
	for (u32 fork_it = 0; fork_it < 1; fork_it++) {
		s32 child = fork();

		if (!child)
			leave(read_gs() != values[3] || read_fs() != values[3]);
		SAME("a child has them too", 0, check_child(child));
	}
	load_gs(0);
	load_fs(0);
	segment = (struct segment){ FIRST_TLS + 2, 0, 0, 0, 0, 1, 0, 1, 0 };
	SAME("removal", 0, set_thread_area(&segment));
	got = fault_of((void (*)(u32))load_gs, SELECTOR(FIRST_TLS + 2));
	SAME("a load of what was removed", SIGSEGV, got.signal);
}

static volatile s32 mutex, shared, woken;

static void lock(void)
{
	while (__atomic_exchange_n(&mutex, 1, __ATOMIC_ACQUIRE))
		futex_wait(&mutex, 1, NULL);
}

static void unlock(void)
{
	__atomic_store_n(&mutex, 0, __ATOMIC_RELEASE);
	futex_wake(&mutex, 1);
}

static void adds(void *argument)
{
	(void)argument;
	for (u32 turn = 0; turn < 500; turn++) {
		s32 value;

		lock();
		value = shared;
		if (turn % 50 == 0)
			yield_cpu();
		shared = value + 1;
		unlock();
	}
}

static volatile s32 gate;

static void waits(void *argument)
{
	(void)argument;
	while (!gate)
		futex_wait(&gate, 0, NULL);
	__atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
}

CHECK(futexes, "threads-futex")
{
	static const struct time soon = { 0, 20000000 };
	struct thread each[THREADS];
	s32 word = 5;

	for (u32 index = 0; index < THREADS; index++)
		HOLDS(thread_start(&each[index], NULL, adds, NULL));
	for (u32 index = 0; index < THREADS; index++)
		thread_join(&each[index]);
	SAME("what was counted under the lock", 500 * THREADS, shared);
	for (u32 index = 0; index < THREADS; index++)
		HOLDS(thread_start(&each[index], NULL, waits, NULL));
	sleep_ms(20);
	gate = 1;
	futex_wake(&gate, THREADS);
	for (u32 index = 0; index < THREADS; index++)
		thread_join(&each[index]);
	SAME("woken", THREADS, woken);
	SAME("a wait for another value", -EAGAIN, futex_wait(&word, 4, NULL));
	SAME("a wait that ends by itself", -ETIMEDOUT, futex_wait(&word, 5, &soon));
}
