/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair of 8259 interrupt controllers at ports 0x20 and 0xA0, and their trigger registers at 0x4D0.
 * Source: Intel 8259A datasheet.  Read next: pit.c.
 */
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"

#define ICW1      0x10
#define ICW1_ICW4 0x01
#define ICW1_SINGLE 0x02
#define ICW4_AUTO_EOI 0x02
#define OCW3      0x08
#define CASCADE   2 /* the second hangs on this pin of the first */

struct pic {
	u8 line, request, service, mask;
	u8 base;      /* vector of pin 0 */
	u8 step;      /* of initialisation: the next write to the data port is ICW2, 3, 4; 0: none */
	u8 level;     /* pins that are level-triggered */
	bool wants_icw4, auto_eoi, read_service, special_mask;
};

static struct pic pics[2];

void pic_init(void)
{
	pics[0].mask = pics[1].mask = 0xFF;
}

/* The pin that would interrupt now, or 8: the lowest requested and not masked, above any in service. */
static u32 winner(const struct pic *pic)
{
	u8 ready = pic->request & ~pic->mask;
	u8 busy = pic->special_mask ? pic->service & ~pic->mask : pic->service;

	for (u32 pin = 0; pin < 8; pin++) {
		if (busy >> pin & 1)
			return 8;
		if (ready >> pin & 1)
			return pin;
	}
	return 8;
}

static void update_cascade(void)
{
	if (winner(&pics[1]) < 8)
		pics[0].request |= 1 << CASCADE;
	else
		pics[0].request &= ~(1 << CASCADE);
}

static bool slave_in_service(const struct pic *pic, u32 pin)
{
	return pic == pics && pin == CASCADE;
}

void pic_line(u32 irq, bool high)
{
	struct pic *pic = &pics[irq / 8];
	u8 bit = 1 << irq % 8;

	if (high && (!(pic->line & bit) || (pic->level & bit)))
		pic->request |= bit;
	if (!high)
		pic->request &= ~bit;
	pic->line = high ? pic->line | bit : pic->line & ~bit;
	update_cascade();
}

bool pic_waiting(void)
{
	return winner(pics) < 8;
}

static void take(struct pic *pic, u32 pin)
{
	if (!pic->auto_eoi)
		pic->service |= 1 << pin;
	if (!(pic->level >> pin & 1))
		pic->request &= ~(1 << pin);
}

/* The CPU takes the interrupt: its vector. */
u32 pic_acknowledge(void)
{
	u32 pin = winner(&pics[0]), second;

	if (!slave_in_service(pics, pin)) {
		take(&pics[0], pin);
		return pics[0].base + pin;
	}
	second = winner(&pics[1]);
	take(&pics[0], pin);
	if (second == 8)
		second = 7; /* it went away: spurious */
	else
		take(&pics[1], second);
	update_cascade();
	return pics[1].base + second;
}

static void end_of_interrupt(struct pic *pic, u8 command)
{
	u32 pin = command & 7;

	if (!(command & 0x40)) /* not specific: the highest in service */
		for (pin = 0; pin < 7 && !(pic->service >> pin & 1); pin++)
			;
	pic->service &= ~(1 << pin);
}

static void command(struct pic *pic, u8 value)
{
	if (value & ICW1) {
		*pic = (struct pic){ .line = pic->line, .level = pic->level, .step = 2, .wants_icw4 = value & ICW1_ICW4 };
	} else if (value & OCW3) {
		if (value & 2)
			pic->read_service = value & 1;
		if (value & 0x40)
			pic->special_mask = value & 0x20;
	} else if (value & 0x20) {
		end_of_interrupt(pic, value);
	}
}

static void data(struct pic *pic, u8 value)
{
	switch (pic->step) {
	case 2:
		pic->base = value & 0xF8;
		pic->step = 3;
		break;
	case 3:
		pic->step = pic->wants_icw4 ? 4 : 0;
		break;
	case 4:
		pic->auto_eoi = value & ICW4_AUTO_EOI;
		pic->step = 0;
		break;
	default:
		pic->mask = value;
	}
}

u8 pic_in(u16 port)
{
	struct pic *pic = &pics[port == 0x4D1 || port >> 4 == 0xA];

	if (port >= 0x4D0)
		return pic->level;
	if (port & 1)
		return pic->mask;
	return pic->read_service ? pic->service : pic->request;
}

void pic_out(u16 port, u8 value)
{
	struct pic *pic = &pics[port == 0x4D1 || port >> 4 == 0xA];

	if (port >= 0x4D0)
		pic->level = value;
	else if (port & 1)
		data(pic, value);
	else
		command(pic, value);
	update_cascade();
}
