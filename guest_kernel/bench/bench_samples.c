/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples, printed in the format that lguest_py/bench/samples.py reads. Nothing is printed while a row is measured:
 * that would evict the measured code from the processor's caches.
 */
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/base/print.h"
#include "switcher/layouts/types.h"

#define VALUES_PER_LINE 12

static u32 samples[BENCH_SAMPLES], count;

void bench_begin(void)
{
	count = 0;
}

void bench_add(u32 ticks)
{
	if (count < BENCH_SAMPLES)
		samples[count++] = ticks;
}

void bench_add_warmed(const u32 *ticks)
{
	for (u32 i = BENCH_WARM; i < BENCH_ROUNDS; i++)
		bench_add(ticks[i]);
}

static void sort(void)
{
	for (u32 i = 1; i < count; i++) {
		u32 value = samples[i], at = i;
		for (; at && samples[at - 1] > value; at--)
			samples[at] = samples[at - 1];
		samples[at] = value;
	}
}

void bench_print(const char *name)
{
	u32 values = 0;
	sort();
	for (u32 i = 0, same; i < count; i += same) {
		for (same = 1; i + same < count && samples[i + same] == samples[i]; same++)
			;
		if (values++ % VALUES_PER_LINE == 0)
			print("%sBENCH %s", values == 1 ? "" : "\n", name);
		print(" %u*%u", samples[i], same);
	}
	if (values)
		print("\n");
}
