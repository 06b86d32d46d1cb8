/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of the Guest's local APIC, which it reaches at LOCAL_APIC_ADDRESS (apic_pages.c), and the MSR with that address.
 * It starts as a PC's firmware leaves it: on, and LINT0 passes the 8259s' interrupts on (virtual wire mode).
 * Source: Intel SDM vol. 3, chapter 11.  Read before: local_apic.c.  Read next: apic_timer.c.
 */
#include "host_kernel/native/pc/local_apic.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/machine/clock.h"

#define XAPIC_6_LVTS  0x00050014u
#define LVT_PERIODIC  0x20000u
#define BASE_BSP      0x100u
#define BASE_ENABLE   0x800u

static void set_lvt(u32 number, u32 value)
{
	static const u32 writable[] = { 0x300FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF };

	if (number == LVT_TIMER && apic_timer_due())
		local_apic_timer_expired(); /* as the register was until now */
	value &= writable[number - LVT_TIMER];
	if (!(local_apic.registers[SVR] & SVR_ENABLE))
		value |= LVT_MASKED;
	local_apic.registers[number] = value;
	if (number == LVT_TIMER)
		apic_timer_mode(value & LVT_PERIODIC);
	local_apic_update();
}

static void set_spurious(u32 value)
{
	local_apic.registers[SVR] = value & 0x3FF;
	for (u32 number = LVT_TIMER; !(value & SVR_ENABLE) && number <= LVT_ERROR; number++)
		set_lvt(number, local_apic.registers[number]);
	local_apic_update();
}

u32 local_apic_read(u32 number)
{
	switch (number) {
	case PPR:
		return local_apic_priority();
	case CURRENT_COUNT:
		return apic_timer_count();
	case ID ... VERSION:
	case TPR:
	case LDR ... IRR - 1:
	case ESR:
	case ICR ... INITIAL_COUNT:
	case DIVIDE:
		return local_apic.registers[number];
	case IRR ... IRR + 7:
		clock_look();
		return local_apic.registers[number];
	default:
		local_apic_error(ERROR_ADDRESS);
		return 0;
	}
}

/* Returns the vector of a level-triggered interrupt that has ended, which the I/O APIC must be told, or 0. */
u32 local_apic_write(u32 number, u32 value)
{
	switch (number) {
	case EOI:
		return local_apic_end();
	case INITIAL_COUNT:
		local_apic.registers[number] = value;
		apic_timer_start(value);
		break;
	case TPR:
		local_apic.registers[number] = value & 0xFF;
		local_apic_update();
		break;
	case ID:
	case LDR:
	case ICR_HIGH:
		local_apic.registers[number] = value & 0xFF000000;
		break;
	case DFR:
		local_apic.registers[number] = value | 0x0FFFFFFF;
		break;
	case SVR:
		set_spurious(value);
		break;
	case ESR:
		local_apic.registers[number] = local_apic.errors;
		local_apic.errors = 0;
		break;
	case ICR:
		local_apic.registers[number] = value & 0xCCFFF & ~0x1000u;
		local_apic_send(value);
		break;
	case LVT_TIMER ... LVT_ERROR:
		set_lvt(number, value);
		break;
	case DIVIDE:
		local_apic.registers[number] = value & 0xB;
		apic_timer_divide(value);
		break;
	default:
		local_apic_error(ERROR_ADDRESS);
	}
	return 0;
}

static void reset(void)
{
	for (u32 number = 0; number < REGISTERS; number++)
		local_apic.registers[number] = 0;
	local_apic.errors = 0;
	local_apic.registers[VERSION] = XAPIC_6_LVTS;
	local_apic.registers[DFR] = ~0u;
	local_apic.registers[SVR] = 0xFF;
	for (u32 number = LVT_TIMER; number <= LVT_ERROR; number++)
		local_apic.registers[number] = LVT_MASKED;
	apic_timer_reset();
	local_apic_update();
}

void local_apic_init(void)
{
	timer_init(TIMER_APIC, local_apic_timer_expired);
	local_apic.present = true;
	reset();
	local_apic.registers[SVR] |= SVR_ENABLE;
	local_apic.registers[LVT_LINT0] = MODE_EXTINT << 8;
	local_apic.registers[LVT_LINT1] = MODE_NMI << 8;
	local_apic_update();
}

bool local_apic_present(void)
{
	return local_apic.present;
}

/* The MSR. */
u32 local_apic_base(void)
{
	return LOCAL_APIC_ADDRESS | BASE_BSP | (local_apic.present ? BASE_ENABLE : 0);
}

/* It can be switched off, and on again; it cannot be moved.  False: a general protection fault. */
bool local_apic_set_base(u32 low, u32 high)
{
	if (high || (low & ~BASE_ENABLE) != (local_apic_base() & ~BASE_ENABLE))
		return false;
	if (local_apic.present == !(low & BASE_ENABLE)) {
		local_apic.present = !local_apic.present;
		reset();
	}
	return true;
}
