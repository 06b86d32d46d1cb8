/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and SSE state: whose it is, over context switches, signals and fork; and its exceptions.
 * The compiler uses neither, so the registers stay as they were loaded.  Source: Intel SDM vol. 1, 10.5.1.
 *
 * Read before: probe.h.
 */
#include "guest_kernel/linux/check/probe.h"

#define SPINNERS 2
#define SWITCHES 20 /* that each of them must live through */
#define REGISTERS 16 /* x87's eight, then SSE's */

struct fpu {
	u16 control, status;
	u8 tags, unused;
	u16 opcode;
	u32 unchecked[4]; /* of the last x87 instruction */
	u32 mxcsr, mxcsr_mask;
	u32 registers[REGISTERS][4];
	u8 rest[224];
} __attribute__((aligned(16)));

static void load(const struct fpu *state)
{
	__asm__ volatile("fxrstor %0" : : "m"(*state));
}

/* Without the bytes behind x87's ten-byte registers, which have no meaning. */
static void save(struct fpu *state)
{
	__asm__ volatile("fxsave %0" : "=m"(*state));
	for (u32 number = 0; number < REGISTERS / 2; number++) {
		state->registers[number][2] &= 0xFFFF;
		state->registers[number][3] = 0;
	}
}

/* A state like no other. */
static void fill(struct fpu *state, u32 seed)
{
	memset(state, 0, sizeof(*state));
	state->control = (u16)(0x037F & ~(seed % 4 << 10)); /* rounding */
	state->control = (u16)(state->control | seed % 4 << 10);
	state->status = (u16)(seed % 8 << 11); /* which register is the top */
	state->tags = 0xFF;
	state->mxcsr = 0x1F80 | seed % 4 << 13 | seed % 64;
	for (u32 number = 0; number < REGISTERS; number++)
		for (u32 word = 0; word < 4; word++)
			state->registers[number][word] = (seed << 24 | number << 16 | word << 8) ^ 0x5A5AA5A5;
	for (u32 number = 0; number < 8; number++) {
		state->registers[number][1] |= 0x80000000; /* a normal number */
		state->registers[number][2] = 0x3FFF + number;
		state->registers[number][3] = 0;
	}
}

static bool same(const struct fpu *one, const struct fpu *other)
{
	return one->control == other->control && one->status == other->status && one->tags == other->tags &&
	       one->mxcsr == other->mxcsr && !memcmp(one->registers, other->registers, sizeof(one->registers));
}

static void keeps(u32 seed)
{
	struct fpu mine, now;

	fill(&mine, seed);
	load(&mine);
	save(&now);
	SAME("control", mine.control, now.control);
	SAME("status", mine.status, now.status);
	SAME("mxcsr", mine.mxcsr, now.mxcsr);
	HOLDS(same(&mine, &now));
}

static u32 involuntary_switches(void)
{
	u32 usage[18] = { 0 };

	CALL(NR_GETRUSAGE, 0, (u32)usage);
	return usage[17];
}

CHECK(loads, "fpu-loads")
{
	for (u32 seed = 1; seed < 100; seed++)
		keeps(seed);
}

CHECK(processes, "fpu-processes")
{
	s32 spinner[SPINNERS], yielder;

	for (u32 each = 0; each < SPINNERS; each++) {
		spinner[each] = fork();
		if (!spinner[each]) {
			struct fpu mine, now;

			fill(&mine, 11 + each);
			load(&mine);
			do {
				save(&now);
				HOLDS(same(&mine, &now));
			} while (involuntary_switches() < SWITCHES);
			leave(0);
		}
	}
	yielder = fork();
	if (!yielder) {
		struct fpu mine, now;

		fill(&mine, 21);
		load(&mine);
		for (u32 turn = 0; turn < 500; turn++) {
			yield_cpu();
			save(&now);
			HOLDS(same(&mine, &now));
		}
		leave(0);
	}
	SAME("the one that yields", 0, check_child(yielder));
	for (u32 each = 0; each < SPINNERS; each++)
		SAME("one that is preempted", 0, check_child(spinner[each]));
}

static volatile s32 wrong, turns;

static void thread(void *seed)
{
	struct fpu mine, now;

	fill(&mine, (u32)seed);
	load(&mine);
	for (u32 turn = 0; turn < 300; turn++) {
		yield_cpu();
		save(&now);
		if (!same(&mine, &now))
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED);
	}
}

CHECK(threads, "fpu-threads")
{
	struct thread each[3];

	for (u32 index = 0; index < 3; index++)
		HOLDS(thread_start(&each[index], NULL, thread, (void *)(31 + index)));
	for (u32 index = 0; index < 3; index++)
		thread_join(&each[index]);
	SAME("turns", 900, turns);
	SAME("wrong", 0, wrong);
}

CHECK(forked, "fpu-fork")
{
	struct fpu mine, now;
	s32 child;

	fill(&mine, 41);
	load(&mine);
	child = fork();
	save(&now);
	HOLDS(same(&mine, &now));
	if (!child)
		leave(0);
	SAME("the child", 0, check_child(child));
	save(&now);
	HOLDS(same(&mine, &now));
}

static struct fpu in_frame;
static bool change;

static void handler(s32 signal, struct signal_info *info, struct signal_context *context)
{
	struct fpu mine;

	(void)signal;
	(void)info;
	memcpy(&in_frame, context->fpu->fxsave, sizeof(in_frame));
	fill(&mine, 52);
	load(&mine);
	yield_cpu();
	if (change)
		memset(context->fpu->fxsave + 160 + 3 * 16, 0x77, 16);
}

CHECK(signals, "fpu-signals")
{
	struct fpu mine, now;

	SAME("rt_sigaction()", 0, signal_handle(SIGUSR1, handler, 0, 0));
	fill(&mine, 51);
	for (u32 turn = 0; turn < 50; turn++) {
		load(&mine);
		SAME("kill()", 0, kill(getpid(), SIGUSR1));
		save(&now);
		HOLDS(same(&mine, &now));
		HOLDS(same(&mine, &in_frame));
	}
	change = true;
	load(&mine);
	kill(getpid(), SIGUSR1);
	save(&now);
	memset(mine.registers[8 + 3], 0x77, 16);
	HOLDS(same(&mine, &now));
}

PROBED(x87_divides, "fninit; fldcw probe_control; fldz; fld1; fdivp; movl $101f, probe_at; 101: fwait")
PROBED(x87_invalid, "fninit; fldcw probe_control; fldz; fldz; fdivp; movl $101f, probe_at; 101: fwait")
PROBED(sse_divides, "ldmxcsr probe_mxcsr; movaps probe_ones, %%xmm0; xorps %%xmm1, %%xmm1; "
		    "movl $101f, probe_at; 101: divps %%xmm1, %%xmm0")
PROBED(sse_invalid, "ldmxcsr probe_mxcsr; movaps probe_minus_ones, %%xmm1; "
		    "movl $101f, probe_at; 101: sqrtps %%xmm1, %%xmm0")

u16 probe_control = 0x0360; /* nothing masked but the inexact result */
u32 probe_mxcsr = 0x1000;   /* the same */
u32 probe_ones[4] __attribute__((aligned(16))) = { 0x3F800000, 0x3F800000, 0x3F800000, 0x3F800000 };
u32 probe_minus_ones[4] __attribute__((aligned(16))) = { 0xBF800000, 0xBF800000, 0xBF800000, 0xBF800000 };

CHECK(x87_exceptions, "fpu-x87-exceptions")
{
	static const struct wanted_fault rows[] = {
		{ "x87: division by zero", x87_divides, 0, SIGFPE, FPE_FLTDIV, 16, 0, 0 },
		{ "x87: zero by zero", x87_invalid, 0, SIGFPE, FPE_FLTINV, 16, 0, 0 },
	};

	CHECK_FAULTS(rows);
	__asm__ volatile("fnclex");
	keeps(61);
}

static void sse_exception(void (*code)(u32), s32 wanted, u32 flag)
{
	struct fault got = fault_of(code, 0);
	struct fpu now;

	if (got.signal) {
		SAME("the signal of an SSE exception", SIGFPE, got.signal);
		SAME("its code", wanted, got.code);
		SAME("its trap", 19, got.trap);
		SAME("where", 0, got.distance);
		return;
	}
	save(&now);
	SAME("the flag in MXCSR", flag, now.mxcsr & 0x3F);
	check_note("unmasked SSE exceptions set their flag only");
}

CHECK(sse_exceptions, "fpu-sse-exceptions")
{
	sse_exception(sse_divides, FPE_FLTDIV, 4);
	sse_exception(sse_invalid, FPE_FLTINV, 1);
	keeps(62);
}
