/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Samples: each value with its count. They are in a shared mapping, because fork() copies no page tables of it: the
 * process stays small. A benchmark has enough samples when its minimum has not fallen for the least number of them.
 * lguest_py/bench/samples.py reads the output.
 */
#include "guest_kernel/linux/bench/samples.h"
#include "guest_kernel/linux/bench/must.h"
#include "guest_kernel/linux/system.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define BENCHES 24
#define MAX_SAMPLES 255 /* samples of one benchmark */
#define LINE_BYTES 200

struct row {
	const struct bench *bench;
	u32 count, different, steady; /* steady: samples since the minimum fell */
	struct {
		u64 ticks;
		u64 times;
	} values[MAX_SAMPLES]; /* in ascending order */
};

static struct row *rows, *row;
static u32 enough;
u32 mark; /* the row's number, below MARK_TELL */

void samples_start(u32 rounds)
{
	enough = rounds < 1 ? 1 : rounds < MAX_SAMPLES ? rounds : MAX_SAMPLES;
	rows = (struct row *)MUST(mmap(NULL, BENCHES * sizeof(struct row), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

void samples_of(const struct bench *bench)
{
	row = row ? row + 1 : rows;
	MUST(row < rows + BENCHES ? 0 : -ENOMEM);
	mark = (u32)(row - rows);
	row->bench = bench;
}

bool sample(u64 ticks)
{
	u32 place = row->different;

	row->count++;
	row->steady++;
	while (place && row->values[place - 1].ticks > ticks)
		place--;
	if (place && row->values[place - 1].ticks == ticks) {
		row->values[place - 1].times++;
	} else {
		if (!place)
			row->steady = 0;
		for (u32 index = row->different++; index > place; index--)
			row->values[index] = row->values[index - 1];
		row->values[place].ticks = ticks;
		row->values[place].times = 1;
	}
	return row->steady < enough && row->count < MAX_SAMPLES;
}

static u32 divided(u64 *number, u32 by)
{
	u32 high = (u32)(*number >> 32), low = (u32)*number, rest = high % by;

	__asm__("divl %2" : "+a"(low), "+d"(rest) : "r"(by));
	*number = (u64)(high / by) << 32 | low;
	return rest;
}

static char *add_number(char *to, u64 number)
{
	char digits[20];
	u32 count = 0;

	do
		digits[count++] = (char)('0' + divided(&number, 10));
	while (number);
	while (count)
		*to++ = digits[--count];
	return to;
}

static void print_row(const struct row *printed)
{
	char line[LINE_BYTES + 50], *end = line;

	for (u32 index = 0; index < printed->different; index++) {
		*end++ = ' ';
		end = add_number(end, printed->values[index].ticks);
		*end++ = '*';
		end = add_number(end, printed->values[index].times);
		if (end - line > LINE_BYTES || index == printed->different - 1) {
			*end = 0;
			print("BENCH %s%s\n", printed->bench->name, line);
			end = line;
		}
	}
	if (printed->bench->operations > 1)
		print("BENCH-COUNTS %s operations=%u\n", printed->bench->name, printed->bench->operations);
}

void samples_print(void)
{
	for (struct row *printed = rows; row && printed <= row; printed++)
		print_row(printed);
}
