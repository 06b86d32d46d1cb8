/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupts of the Guest's local APIC: which one the CPU takes next, what it accepts and what it sends.  There is one
 * processor, so what it sends to others goes nowhere; INIT, SMI and NMI are not delivered.
 * Source: Intel SDM vol. 3, chapter 11.  Read next: local_apic_registers.c, io_apic.c.
 */
#include "host_kernel/native/pc/local_apic.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/sections.h"

#define LOGICAL        0x800u /* of ICR */
#define SHORTHAND(value) ((value) >> 18 & 3)
#define SHORTHAND_NONE   0u
#define SHORTHAND_OTHERS 3u
#define FIRST_LEGAL_VECTOR 16u

struct local_apic local_apic;
u32 local_apic_vector HOT;
bool local_apic_passes_pic HOT;

/* The highest vector of a set of 256, or 0. */
static u32 highest(const u32 *set)
{
	for (u32 word = 8; word--;)
		if (set[word])
			return word * 32 + 31 - __builtin_clz(set[word]);
	return 0;
}

static bool has(const u32 *set, u32 vector)
{
	return set[vector / 32] >> vector % 32 & 1;
}

static void change(u32 *set, u32 vector, bool to)
{
	u32 bit = 1u << vector % 32;

	set[vector / 32] = to ? set[vector / 32] | bit : set[vector / 32] & ~bit;
}

u32 local_apic_priority(void)
{
	u32 service = highest(local_apic.registers + ISR) & 0xF0;

	return (local_apic.registers[TPR] & 0xF0) >= service ? local_apic.registers[TPR] : service;
}

/* A register changed: which vector interrupts now, and may the 8259s? */
void local_apic_update(void)
{
	u32 vector = highest(local_apic.registers + IRR), lint0 = local_apic.registers[LVT_LINT0];

	if (!local_apic.present || !(local_apic.registers[SVR] & SVR_ENABLE) || vector >> 4 <= local_apic_priority() >> 4)
		vector = 0;
	local_apic_vector = vector;
	local_apic_passes_pic = !local_apic.present || (!(lint0 & LVT_MASKED) && MODE(lint0) == MODE_EXTINT);
}

/* False: the local APIC takes no interrupts. */
static bool request(u32 vector, bool level)
{
	if (!local_apic.present || !(local_apic.registers[SVR] & SVR_ENABLE))
		return false;
	change(local_apic.registers + IRR, vector, true);
	change(local_apic.registers + TMR, vector, level);
	local_apic_update();
	return true;
}

void local_apic_error(u32 which)
{
	u32 lvt = local_apic.registers[LVT_ERROR], vector = lvt & 0xFF;

	local_apic.errors |= which;
	if (!(lvt & LVT_MASKED) && vector >= FIRST_LEGAL_VECTOR)
		request(vector, false);
}

static bool accept(u32 vector, bool level)
{
	if (vector >= FIRST_LEGAL_VECTOR)
		return request(vector, level);
	local_apic_error(ERROR_RECEIVED);
	return false;
}

static bool is_addressed(u32 destination, bool logical)
{
	u32 mine = local_apic.registers[LDR] >> 24;

	if (!logical)
		return destination == 0xFF || destination == local_apic.registers[ID] >> 24;
	if (local_apic.registers[DFR] >> 28 == 0xF) /* the flat model */
		return destination & mine;
	return destination == 0xFF || (destination >> 4 == mine >> 4 && (destination & mine & 0xF));
}

/* A message from the I/O APIC or of a function's MSI.  False: it is not for this processor, or not accepted. */
bool local_apic_message(u32 destination, bool logical, u32 mode, u32 vector, bool level)
{
	if ((mode != MODE_FIXED && mode != MODE_LOWEST) || !is_addressed(destination, logical))
		return false;
	return accept(vector, level);
}

void local_apic_send(u32 command)
{
	u32 vector = command & 0xFF, shorthand = SHORTHAND(command);

	if ((MODE(command) != MODE_FIXED && MODE(command) != MODE_LOWEST) || shorthand == SHORTHAND_OTHERS)
		return;
	if (vector < FIRST_LEGAL_VECTOR)
		local_apic_error(ERROR_SENT);
	else if (shorthand != SHORTHAND_NONE || is_addressed(local_apic.registers[ICR_HIGH] >> 24, command & LOGICAL))
		accept(vector, false);
}

/* The CPU takes local_apic_vector.  True: it is of the timer. */
bool local_apic_acknowledge(u32 *vector)
{
	*vector = local_apic_vector;
	change(local_apic.registers + IRR, *vector, false);
	change(local_apic.registers + ISR, *vector, true);
	local_apic_update();
	return *vector == (local_apic.registers[LVT_TIMER] & 0xFF);
}

/* The end of the interrupt with the highest priority: its vector if the I/O APIC must be told, else 0. */
u32 local_apic_end(void)
{
	u32 vector = highest(local_apic.registers + ISR);

	if (!vector)
		return 0;
	change(local_apic.registers + ISR, vector, false);
	local_apic_update();
	return has(local_apic.registers + TMR, vector) ? vector : 0;
}

void local_apic_timer_expired(void)
{
	if (!(local_apic.registers[LVT_TIMER] & LVT_MASKED))
		accept(local_apic.registers[LVT_TIMER] & 0xFF, false);
	apic_timer_again();
}
