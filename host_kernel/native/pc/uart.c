/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial port at 0x3F8: a 16550A that writes to the mailbox's text ring and reads its input ring (serial_line.c).
 * The transmitter sends a byte as soon as it is written.  The interrupt line is the OR of all pending and enabled causes.
 * The interrupt controller sees its edges, so every access updates it.
 * Source: National PC16550D datasheet.  Read next: serial_line.c.
 */
#include "host_kernel/native/pc/uart.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/machine/mailbox.h"

#define IIR_FIFO     0xC0
#define FCR_RESET_RECEIVER 0x02
#define LCR_DIVISOR  0x80
#define LSR_DATA     0x01
#define LSR_OVERRUN  0x02
#define LSR_EMPTY    0x60
#define MSR_READY    0xB0 /* carrier, data set ready, clear to send */
#define MSR_RING     0x40
#define MSR_CHANGES  0x0F /* a delta bit for each of the upper four bits */

static u8 receive(void)
{
	u8 byte = uart.received[uart.first];

	if (!uart.count)
		return 0;
	uart.first = (uart.first + 1) % UART_FIFO_BYTES;
	uart.count--;
	uart.timed_out = false;
	line_was_read();
	return byte;
}

/* In loopback mode there is no flow control: without room the byte is lost, with an overrun error. */
static void loop_back(u8 byte)
{
	if (uart.count < uart_capacity()) {
		uart_push(byte);
		return;
	}
	uart.errors |= LSR_OVERRUN;
	if (!(uart.control & FCR_FIFO))
		uart.received[uart.first] = byte;
}

static void send(u8 byte)
{
	uart.empty_pending = false;
	uart_update(); /* the line is low while the byte is sent: an edge-triggered driver needs this edge */
	if (uart.modem & MCR_LOOP)
		loop_back(byte);
	else
		mailbox_text(&byte, 1);
	uart.empty_pending = true;
}

static u8 modem_lines(void)
{
	u8 modem = uart.modem;

	if (!(modem & MCR_LOOP))
		return MSR_READY;
	return (modem & 2) << 3 | (modem & 1) << 5 | (modem & 4) << 4 | (modem & 8) << 4;
}

static void set_modem(u8 value)
{
	u8 before = modem_lines(), now;

	uart.modem = value & 0x1F;
	now = modem_lines();
	uart.changes |= ((before ^ now) & ~MSR_RING) >> 4 | (before & ~now & MSR_RING) >> 4; /* of ring only the trailing edge */
}

static void set_control(u8 value)
{
	if ((value ^ uart.control) & FCR_FIFO || ((value & FCR_FIFO) && (value & FCR_RESET_RECEIVER))) {
		uart.count = 0;
		uart.timed_out = false;
	}
	uart.control = value & FCR_FIFO ? value & (FCR_FIFO | FCR_TRIGGER) : 0;
}

static void set_enable(u8 value)
{
	if (value & ~uart.enable & IER_EMPTY)
		uart.empty_pending = true;
	uart.enable = value & 0xF;
}

static u8 read_interrupt_cause(void)
{
	u8 cause = uart_cause();

	if (cause == IIR_EMPTY)
		uart.empty_pending = false;
	return cause | (uart.control & FCR_FIFO ? IIR_FIFO : 0);
}

static u8 read_line_status(void)
{
	u8 status = LSR_EMPTY | uart.errors | (uart.count ? LSR_DATA : 0);

	uart.errors = 0;
	if (!uart.count)
		line_was_polled();
	return status;
}

static u8 read_modem_status(void)
{
	u8 status = modem_lines() | (uart.changes & MSR_CHANGES);

	uart.changes = 0;
	return status;
}

static u8 read(u16 port)
{
	switch (port & 7) {
	case 0:
		return uart.line & LCR_DIVISOR ? uart.divisor[0] : receive();
	case 1:
		return uart.line & LCR_DIVISOR ? uart.divisor[1] : uart.enable;
	case 2:
		return read_interrupt_cause();
	case 3:
		return uart.line;
	case 4:
		return uart.modem;
	case 5:
		return read_line_status();
	case 6:
		return read_modem_status();
	default:
		return uart.scratch;
	}
}

u8 uart_in(u16 port)
{
	u8 value = read(port);

	uart_update();
	return value;
}

void uart_out(u16 port, u8 value)
{
	uart.polls = 0;
	switch (port & 7) {
	case 0:
		if (uart.line & LCR_DIVISOR)
			uart.divisor[0] = value;
		else
			send(value);
		break;
	case 1:
		if (uart.line & LCR_DIVISOR)
			uart.divisor[1] = value;
		else
			set_enable(value);
		break;
	case 2:
		set_control(value);
		break;
	case 3:
		uart.line = value;
		break;
	case 4:
		set_modem(value);
		break;
	case 7:
		uart.scratch = value;
		break;
	default:
		break;
	}
	uart_update();
}
