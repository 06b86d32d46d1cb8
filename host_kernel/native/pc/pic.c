/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair of 8259A interrupt controllers at ports 0x20 and 0xA0, and their trigger registers at 0x4D0, which replace
 * ICW1's level bit as in a PC's chip set.  A request is latched by a rising edge and withdrawn when the
 * line falls before it is acknowledged.
 * Source: Intel 8259A datasheet; Intel 82371AB datasheet for 0x4D0.  Read next: pit.c.
 */
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/machine/clock.h"

#define ICW1        0x10
#define ICW1_ICW4   0x01
#define ICW1_SINGLE 0x02
#define ICW4_AUTO_EOI     0x02
#define ICW4_FULLY_NESTED 0x10
#define OCW2_EOI      0x20
#define OCW2_SPECIFIC 0x40
#define OCW2_ROTATE   0x80
#define OCW3          0x08
#define OCW3_SELECT   0x02 /* bit 0 selects the register to read */
#define OCW3_POLL     0x04
#define OCW3_SPECIAL  0x40 /* bit 5 sets special mask mode */
#define POLL_FOUND  0x80
#define CASCADE     2 /* the pin of the first controller to which the second is connected */
#define NO_PIN      8
#define SPURIOUS    7
#define TRIGGER_FIRST  0xF8 /* pins that can be level-triggered: not the clock, the keyboard and the cascade, */
#define TRIGGER_SECOND 0xDE /* nor the wall clock and the FPU */

struct pic {
	u8 line, request, service, mask;
	u8 base;      /* vector of pin 0 */
	u8 step;      /* of initialisation: the next write to the data port is ICW2, 3, 4; 0: none */
	u8 level;     /* pins that are level-triggered */
	u8 lowest;    /* the pin with the lowest priority; the next one has the highest */
	bool wants_icw4, single, auto_eoi, rotate_auto, fully_nested, read_service, special_mask, polled;
};

static struct pic pics[2];

void pic_init(void)
{
	for (u32 number = 0; number < 2; number++)
		pics[number] = (struct pic){ .mask = 0xFF, .lowest = 7 };
}

/* The one of these pins with the highest priority, or NO_PIN. */
static u32 highest_priority(const struct pic *pic, u8 pins)
{
	for (u32 place = 1; pins && place <= 8; place++)
		if (pins >> (pic->lowest + place) % 8 & 1)
			return (pic->lowest + place) % 8;
	return NO_PIN;
}

/* The pin that would interrupt now, or NO_PIN: requested, not masked, and above any in service. */
static u32 highest_pending(const struct pic *pic)
{
	u8 ready = pic->request & ~pic->mask, busy = pic->service;
	u32 pin;

	if (!ready)
		return NO_PIN;
	if (pic->special_mask)
		busy &= ~pic->mask;
	if (pic->fully_nested && pic == pics)
		busy &= ~(1 << CASCADE);
	pin = highest_priority(pic, ready | busy);
	return busy >> pin & 1 ? NO_PIN : pin;
}

static void update_cascade(void)
{
	if (highest_pending(&pics[1]) != NO_PIN)
		pics[0].request |= 1 << CASCADE;
	else
		pics[0].request &= ~(1 << CASCADE);
}

void pic_line(u32 irq, bool high)
{
	struct pic *pic = &pics[irq / 8];
	u8 bit = 1 << irq % 8;

	if (high == (pic->line >> irq % 8 & 1))
		return;
	pic->line ^= bit;
	if (high)
		pic->request |= bit;
	else
		pic->request &= ~bit;
	update_cascade();
}

bool pic_pending(void)
{
	return highest_pending(pics) != NO_PIN;
}

/* The pin that is acknowledged now: SPURIOUS when its request was withdrawn. */
static u32 acknowledge(struct pic *pic)
{
	u32 pin = highest_pending(pic);

	if (pin == NO_PIN)
		return SPURIOUS;
	if (!pic->auto_eoi)
		pic->service |= 1 << pin;
	else if (pic->rotate_auto)
		pic->lowest = pin;
	if (!(pic->level >> pin & 1))
		pic->request &= ~(1 << pin);
	return pin;
}

/* The CPU acknowledges the interrupt: returns its number and vector. */
u32 pic_acknowledge(u32 *vector)
{
	u32 irq, pin;

	if (highest_pending(pics) == CASCADE) {
		acknowledge(&pics[0]);
		pin = acknowledge(&pics[1]);
		*vector = pics[1].base + pin;
		irq = 8 + pin;
	} else {
		irq = acknowledge(&pics[0]);
		*vector = pics[0].base + irq;
	}
	update_cascade();
	return irq;
}

static void end_of_interrupt(struct pic *pic, u8 command)
{
	u32 pin = command & 7;

	if (!(command & OCW2_SPECIFIC))
		pin = highest_priority(pic, pic->special_mask ? pic->service & ~pic->mask : pic->service);
	if (pin == NO_PIN)
		return;
	pic->service &= ~(1 << pin);
	if (command & OCW2_ROTATE)
		pic->lowest = pin;
}

static void operate(struct pic *pic, u8 command)
{
	if (command & OCW2_EOI)
		end_of_interrupt(pic, command);
	else if (!(command & OCW2_SPECIFIC))
		pic->rotate_auto = command & OCW2_ROTATE;
	else if (command & OCW2_ROTATE)
		pic->lowest = command & 7;
}

static void command(struct pic *pic, u8 value)
{
	if (value & ICW1) { /* clears latched edges; level-triggered lines still request */
		*pic = (struct pic){
			.line = pic->line, .level = pic->level, .request = pic->line & pic->level, .base = pic->base,
			.step = 2, .lowest = 7, .wants_icw4 = value & ICW1_ICW4, .single = value & ICW1_SINGLE,
		};
	} else if (value & OCW3) {
		if (value & OCW3_SELECT)
			pic->read_service = value & 1;
		if (value & OCW3_SPECIAL)
			pic->special_mask = value & 0x20;
		pic->polled = value & OCW3_POLL;
	} else {
		operate(pic, value);
	}
}

static void data(struct pic *pic, u8 value)
{
	switch (pic->step) {
	case 2:
		pic->base = value & 0xF8;
		pic->step = !pic->single ? 3 : pic->wants_icw4 ? 4 : 0; /* in single mode there is no ICW3 */
		break;
	case 3:
		pic->step = pic->wants_icw4 ? 4 : 0;
		break;
	case 4:
		pic->auto_eoi = value & ICW4_AUTO_EOI;
		pic->fully_nested = value & ICW4_FULLY_NESTED;
		pic->step = 0;
		break;
	default:
		pic->mask = value;
	}
}

static void set_level(struct pic *pic, u8 pins)
{
	pic->level = pins & (pic == pics ? TRIGGER_FIRST : TRIGGER_SECOND);
	pic->request |= pic->line & pic->level;
}

/* The read after a poll command acknowledges the interrupt. */
static u8 poll(struct pic *pic)
{
	u8 found = highest_pending(pic) != NO_PIN ? POLL_FOUND : 0;

	pic->polled = false;
	if (found)
		found |= acknowledge(pic);
	update_cascade();
	return found;
}

u8 pic_in(u16 port)
{
	struct pic *pic = &pics[port == 0x4D1 || port >> 4 == 0xA];

	if (port >= 0x4D0)
		return pic->level;
	if (pic->polled) {
		clock_look();
		return poll(pic);
	}
	if (port & 1)
		return pic->mask;
	clock_look();
	return pic->read_service ? pic->service : pic->request;
}

void pic_out(u16 port, u8 value)
{
	struct pic *pic = &pics[port == 0x4D1 || port >> 4 == 0xA];

	if (port >= 0x4D0)
		set_level(pic, value);
	else if (port & 1)
		data(pic, value);
	else
		command(pic, value);
	update_cascade();
}
