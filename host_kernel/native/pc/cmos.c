/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CMOS clock at ports 0x70 and 0x71: the time of day, in BCD, and no alarm.
 * Source: Motorola MC146818A datasheet; days to dates by the proleptic Gregorian calendar.
 */
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/machine/clock.h"

#define SECONDS_A_DAY 86400u
#define STATUS_A 0x26 /* a 32768 Hz crystal */
#define STATUS_B 0x02 /* 24 hours, BCD */
#define STATUS_D 0x80 /* the battery is good */
#define CENTURY  0x32

static u8 selected;
static u8 memory[128];

static u8 bcd(u32 value)
{
	return value / 10 << 4 | value % 10;
}

static bool is_leap(u32 year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static u32 month_length(u32 month, u32 year)
{
	static const u8 lengths[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return lengths[month] + (month == 1 && is_leap(year));
}

u8 cmos_in(u16 port)
{
	u32 seconds, nanoseconds, days, year = 1970, month = 0, in_day;

	if (port == 0x70)
		return selected;
	clock_wall(&seconds, &nanoseconds);
	in_day = seconds % SECONDS_A_DAY;
	days = seconds / SECONDS_A_DAY;
	switch (selected) {
	case 0:
		return bcd(in_day % 60);
	case 2:
		return bcd(in_day / 60 % 60);
	case 4:
		return bcd(in_day / 3600);
	case 6:
		return (days + 4) % 7 + 1; /* 1970 began on a Thursday, day 5 */
	case 10:
		return STATUS_A;
	case 11:
		return STATUS_B;
	case 12:
		return 0;
	case 13:
		return STATUS_D;
	default:
		break;
	}
	for (; days >= 365u + is_leap(year); year++)
		days -= 365 + is_leap(year);
	for (; days >= month_length(month, year); month++)
		days -= month_length(month, year);
	switch (selected) {
	case 7:
		return bcd(days + 1);
	case 8:
		return bcd(month + 1);
	case 9:
		return bcd(year % 100);
	case CENTURY:
		return bcd(year / 100);
	default:
		return memory[selected];
	}
}

/* The time cannot be set: the Launcher provides it. */
void cmos_out(u16 port, u8 value)
{
	if (port == 0x70)
		selected = value & 0x7F;
	else
		memory[selected] = value;
}
