/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's local APIC, which it reaches at LOCAL_APIC_ADDRESS (apic_pages.c).  There is one processor, so what it sends to others
 * goes nowhere; INIT, SMI and NMI are not delivered.  It starts as a PC's firmware leaves it: on, and LINT0 passes the 8259s'
 * interrupts on (virtual wire mode).  Source: Intel SDM vol. 3, chapter 11.  Read next: apic_timer.c, io_apic.c.
 */
#include "host_kernel/native/pc/local_apic.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/host.h"
#include "host_kernel/base/sections.h"

/* Register numbers: their addresses / 16. */
#define ID         0x02
#define VERSION    0x03
#define TPR        0x08
#define PPR        0x0A
#define EOI        0x0B
#define LDR        0x0D
#define DFR        0x0E
#define SVR        0x0F
#define ISR        0x10 /* these three have eight registers each, a bit for each vector */
#define TMR        0x18
#define IRR        0x20
#define ESR        0x28
#define ICR        0x30
#define ICR_HIGH   0x31
#define LVT_TIMER  0x32
#define LVT_THERMAL 0x33
#define LVT_COUNTERS 0x34
#define LVT_LINT0  0x35
#define LVT_LINT1  0x36
#define LVT_ERROR  0x37
#define INITIAL_COUNT 0x38
#define CURRENT_COUNT 0x39
#define DIVIDE     0x3E
#define REGISTERS  0x40

#define XAPIC_6_LVTS  0x00050014u
#define SVR_ENABLE    0x100u
#define LVT_MASKED    0x10000u
#define LVT_PERIODIC  0x20000u
#define MODE(value)   ((value) >> 8 & 7)
#define MODE_FIXED    0u
#define MODE_LOWEST   1u
#define MODE_NMI      4u
#define MODE_EXTINT   7u
#define LOGICAL       0x800u   /* of ICR */
#define SHORTHAND(value) ((value) >> 18 & 3)
#define SHORTHAND_NONE  0u
#define SHORTHAND_OTHERS 3u
#define ERROR_SENT     0x20u   /* of ESR: an illegal vector was sent, */
#define ERROR_RECEIVED 0x40u   /* or received, */
#define ERROR_ADDRESS  0x80u   /* or there is no such register */
#define FIRST_LEGAL_VECTOR 16u
#define BASE_BSP       0x100u  /* of the MSR */
#define BASE_ENABLE    0x800u

static u32 registers[REGISTERS];
static u32 errors;     /* what the next write to ESR shows */
static bool present;   /* the MSR's enable bit */
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

static u32 processor_priority(void)
{
	u32 service = highest(registers + ISR) & 0xF0;

	return (registers[TPR] & 0xF0) >= service ? registers[TPR] : service;
}

/* A register changed: which vector interrupts now, and may the 8259s? */
static void update(void)
{
	u32 vector = highest(registers + IRR), lint0 = registers[LVT_LINT0];

	if (!present || !(registers[SVR] & SVR_ENABLE) || vector >> 4 <= processor_priority() >> 4)
		vector = 0;
	local_apic_vector = vector;
	local_apic_passes_pic = !present || (!(lint0 & LVT_MASKED) && MODE(lint0) == MODE_EXTINT);
}

/* False: the local APIC takes no interrupts. */
static bool request(u32 vector, bool level)
{
	if (!present || !(registers[SVR] & SVR_ENABLE))
		return false;
	change(registers + IRR, vector, true);
	change(registers + TMR, vector, level);
	update();
	return true;
}

static void error(u32 which)
{
	u32 lvt = registers[LVT_ERROR], vector = lvt & 0xFF;

	errors |= which;
	if (!(lvt & LVT_MASKED) && vector >= FIRST_LEGAL_VECTOR)
		request(vector, false);
}

static bool accept(u32 vector, bool level)
{
	if (vector >= FIRST_LEGAL_VECTOR)
		return request(vector, level);
	error(ERROR_RECEIVED);
	return false;
}

static bool is_addressed(u32 destination, bool logical)
{
	u32 mine = registers[LDR] >> 24;

	if (!logical)
		return destination == 0xFF || destination == registers[ID] >> 24;
	if (registers[DFR] >> 28 == 0xF) /* the flat model */
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

static void send(u32 command)
{
	u32 vector = command & 0xFF, shorthand = SHORTHAND(command);

	if ((MODE(command) != MODE_FIXED && MODE(command) != MODE_LOWEST) || shorthand == SHORTHAND_OTHERS)
		return;
	if (vector < FIRST_LEGAL_VECTOR)
		error(ERROR_SENT);
	else if (shorthand != SHORTHAND_NONE || is_addressed(registers[ICR_HIGH] >> 24, command & LOGICAL))
		accept(vector, false);
}

/* The CPU takes local_apic_vector.  True: it is of the timer. */
bool local_apic_acknowledge(u32 *vector)
{
	*vector = local_apic_vector;
	change(registers + IRR, *vector, false);
	change(registers + ISR, *vector, true);
	update();
	return *vector == (registers[LVT_TIMER] & 0xFF);
}

/* The end of the interrupt with the highest priority: its vector if the I/O APIC must be told, else 0. */
static u32 end_of_interrupt(void)
{
	u32 vector = highest(registers + ISR);

	if (!vector)
		return 0;
	change(registers + ISR, vector, false);
	update();
	return has(registers + TMR, vector) ? vector : 0;
}

static void timer_expired(void)
{
	if (!(registers[LVT_TIMER] & LVT_MASKED))
		accept(registers[LVT_TIMER] & 0xFF, false);
	apic_timer_again();
}

static void set_lvt(u32 number, u32 value)
{
	static const u32 writable[] = { 0x300FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF };

	if (number == LVT_TIMER && apic_timer_due())
		timer_expired(); /* as the register was until now */
	value &= writable[number - LVT_TIMER];
	if (!(registers[SVR] & SVR_ENABLE))
		value |= LVT_MASKED;
	registers[number] = value;
	if (number == LVT_TIMER)
		apic_timer_mode(value & LVT_PERIODIC);
	update();
}

static void set_spurious(u32 value)
{
	registers[SVR] = value & 0x3FF;
	for (u32 number = LVT_TIMER; !(value & SVR_ENABLE) && number <= LVT_ERROR; number++)
		set_lvt(number, registers[number]);
	update();
}

u32 local_apic_read(u32 number)
{
	switch (number) {
	case PPR:
		return processor_priority();
	case CURRENT_COUNT:
		return apic_timer_count();
	case ID ... VERSION:
	case TPR:
	case LDR ... IRR + 7:
	case ESR:
	case ICR ... INITIAL_COUNT:
	case DIVIDE:
		return registers[number];
	default:
		error(ERROR_ADDRESS);
		return 0;
	}
}

/* Returns the vector of a level-triggered interrupt that has ended, which the I/O APIC must be told, or 0. */
u32 local_apic_write(u32 number, u32 value)
{
	switch (number) {
	case EOI:
		return end_of_interrupt();
	case INITIAL_COUNT:
		registers[number] = value;
		apic_timer_start(value);
		break;
	case TPR:
		registers[number] = value & 0xFF;
		update();
		break;
	case ID:
	case LDR:
	case ICR_HIGH:
		registers[number] = value & 0xFF000000;
		break;
	case DFR:
		registers[number] = value | 0x0FFFFFFF;
		break;
	case SVR:
		set_spurious(value);
		break;
	case ESR:
		registers[number] = errors;
		errors = 0;
		break;
	case ICR:
		registers[number] = value & 0xCCFFF & ~0x1000u;
		send(value);
		break;
	case LVT_TIMER ... LVT_ERROR:
		set_lvt(number, value);
		break;
	case DIVIDE:
		registers[number] = value & 0xB;
		apic_timer_divide(value);
		break;
	default:
		error(ERROR_ADDRESS);
	}
	return 0;
}

static void reset(void)
{
	for (u32 number = 0; number < REGISTERS; number++)
		registers[number] = 0;
	errors = 0;
	registers[VERSION] = XAPIC_6_LVTS;
	registers[DFR] = ~0u;
	registers[SVR] = 0xFF;
	for (u32 number = LVT_TIMER; number <= LVT_ERROR; number++)
		registers[number] = LVT_MASKED;
	apic_timer_reset();
	update();
}

void local_apic_init(void)
{
	timer_init(TIMER_APIC, timer_expired);
	present = true;
	reset();
	registers[SVR] |= SVR_ENABLE;
	registers[LVT_LINT0] = MODE_EXTINT << 8;
	registers[LVT_LINT1] = MODE_NMI << 8;
	update();
}

bool local_apic_present(void)
{
	return present;
}

/* The MSR. */
u32 local_apic_base(void)
{
	return LOCAL_APIC_ADDRESS | BASE_BSP | (present ? BASE_ENABLE : 0);
}

/* It can be switched off, and on again; it cannot be moved.  False: a general protection fault. */
bool local_apic_set_base(u32 low, u32 high)
{
	if (high || (low & ~BASE_ENABLE) != (local_apic_base() & ~BASE_ENABLE))
		return false;
	if (present == !(low & BASE_ENABLE)) {
		present = !present;
		reset();
	}
	return true;
}
