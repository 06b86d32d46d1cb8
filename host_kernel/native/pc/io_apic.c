/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O APIC: 24 pins, each with a redirection entry.  A line is high while it requests service, whatever polarity the Guest sets:
 * an inverter stands between, as the ACPI tables describe it.  The messages are of the modes fixed and lowest priority.
 * Source: Intel 82093AA datasheet.  Read before: irq.c.  Read next: local_apic.c.
 */
#include "host_kernel/native/pc/pc.h"

#define PINS         24u
#define SELECT       0x00 /* addresses: the number of a register, and its value */
#define WINDOW       0x10
#define REGISTER_ID      0x00
#define REGISTER_VERSION 0x01
#define REGISTER_ARBITRATION 0x02
#define REGISTER_FIRST   0x10 /* two for each pin */
#define VERSION      (0x11u | (PINS - 1) << 16)
#define ID_BITS      0x0F000000u
#define LOGICAL      0x800u
#define REMOTE_IRR   0x4000u /* the local APIC has accepted the level, and no EOI has come */
#define LEVEL        0x8000u
#define MASKED       0x10000u
#define WRITABLE     0x1AFFFu /* of the lower word */
#define MODE(entry)  ((entry) >> 8 & 7)

struct redirection {
	u32 low, destination;
};

static struct redirection pins[PINS];
static u32 lines; /* bit n: pin n is high */
static u32 selected, id;

void io_apic_init(void)
{
	lines = selected = id = 0;
	for (u32 pin = 0; pin < PINS; pin++)
		pins[pin] = (struct redirection){ MASKED, 0 };
}

static bool deliver(u32 pin)
{
	u32 low = pins[pin].low;

	return local_apic_message(pins[pin].destination >> 24, low & LOGICAL, MODE(low), low & 0xFF, low & LEVEL);
}

/* A level-triggered pin that is high requests again after each EOI. */
static void update(u32 pin)
{
	u32 low = pins[pin].low;

	if ((low & (LEVEL | MASKED | REMOTE_IRR)) == LEVEL && (lines >> pin & 1) && deliver(pin))
		pins[pin].low |= REMOTE_IRR;
}

/* An edge at a masked pin is lost. */
void io_apic_line(u32 pin, bool high)
{
	if (high == (lines >> pin & 1))
		return;
	lines ^= 1u << pin;
	if (pins[pin].low & LEVEL)
		update(pin);
	else if (high && !(pins[pin].low & MASKED))
		deliver(pin);
}

/* The local APIC tells the end of a level-triggered interrupt. */
void io_apic_end(u32 vector)
{
	for (u32 pin = 0; pin < PINS; pin++) {
		if ((pins[pin].low & 0xFF) != vector || !(pins[pin].low & REMOTE_IRR))
			continue;
		pins[pin].low &= ~REMOTE_IRR;
		update(pin);
	}
}

/* The vector of a pin's interrupt. */
u32 io_apic_vector(u32 pin)
{
	return pins[pin].low & 0xFF;
}

static void set_entry(u32 pin, u32 value, bool high)
{
	struct redirection *entry = &pins[pin];

	if (high) {
		entry->destination = value & 0xFF000000;
		return;
	}
	entry->low = (value & WRITABLE) | (entry->low & REMOTE_IRR);
	if (!(value & LEVEL))
		entry->low &= ~REMOTE_IRR; /* by this a kernel ends an interrupt without its local APIC */
	update(pin);
}

u32 io_apic_read(u32 at)
{
	u32 number = selected - REGISTER_FIRST;

	if (at == SELECT)
		return selected;
	if (at != WINDOW)
		return 0;
	if (selected == REGISTER_ID || selected == REGISTER_ARBITRATION)
		return id;
	if (selected == REGISTER_VERSION)
		return VERSION;
	if (number >= 2 * PINS)
		return 0;
	return number & 1 ? pins[number / 2].destination : pins[number / 2].low;
}

void io_apic_write(u32 at, u32 value)
{
	u32 number = selected - REGISTER_FIRST;

	if (at == SELECT)
		selected = value & 0xFF;
	else if (at != WINDOW)
		return;
	else if (selected == REGISTER_ID)
		id = value & ID_BITS;
	else if (number < 2 * PINS)
		set_entry(number / 2, value, number & 1);
}
