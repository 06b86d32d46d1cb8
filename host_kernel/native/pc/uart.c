/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial port at 0x3F8: a 16550 whose line leads to the mailbox's text, and from its input.  The transmitter is
 * always empty: what is written is taken at once.  Source: National PC16550D datasheet.
 */
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/machine/mailbox.h"

#define UART_IRQ 4
#define IER_RECEIVED 1
#define IER_EMPTY    2
#define LCR_DIVISOR  0x80
#define MCR_RTS      0x02
#define MCR_OUT2     0x08
#define MCR_LOOP     0x10
#define LSR_DATA     0x01
#define LSR_EMPTY    0x60
#define MSR_READY    0xB0 /* carrier, data set ready, clear to send */
#define IIR_NONE     1
#define IIR_EMPTY    2
#define IIR_RECEIVED 4
#define IIR_FIFO     0xC0

static struct {
	u8 enable, line, modem, scratch, divisor[2], looped;
	bool fifo, empty_waits, looped_waits;
} uart;

/*
 * Before the Guest wants interrupts for it, input is kept back: a driver that starts reads and drops what it finds.  And
 * so it is while the Guest does not request to send: with flow control on, its buffers are full.
 */
static bool data_waits(void)
{
	if (uart.modem & MCR_LOOP)
		return uart.looped_waits;
	return (uart.enable & IER_RECEIVED) && (uart.modem & MCR_RTS) && read_once(&mailbox->input_head) != mailbox->input_tail;
}

static u8 interrupt_cause(void)
{
	if ((uart.enable & IER_RECEIVED) && data_waits())
		return IIR_RECEIVED;
	if ((uart.enable & IER_EMPTY) && uart.empty_waits)
		return IIR_EMPTY;
	return IIR_NONE;
}

/* The interrupt line follows what is so now; the input may have changed it. */
void uart_check(void)
{
	pic_line(UART_IRQ, (uart.modem & MCR_OUT2) && !(uart.modem & MCR_LOOP) && interrupt_cause() != IIR_NONE);
}

static u8 receive(void)
{
	u8 byte;

	if (uart.modem & MCR_LOOP) {
		uart.looped_waits = false;
		return uart.looped;
	}
	if (!data_waits())
		return 0;
	byte = mailbox->input[mailbox->input_tail % INPUT_BYTES];
	exchange(&mailbox->input_tail, mailbox->input_tail + 1); /* seen by all before we look at the head again */
	if (read_once(&mailbox->input_head) - mailbox->input_tail == INPUT_BYTES / 2)
		mailbox_doorbell(); /* the Launcher may be waiting for room */
	return byte;
}

static void send(u8 byte)
{
	if (uart.modem & MCR_LOOP) {
		uart.looped = byte;
		uart.looped_waits = true;
	} else {
		mailbox_text(&byte, 1);
	}
	uart.empty_waits = true;
}

static u8 modem_status(void)
{
	u8 modem = uart.modem;

	if (!(modem & MCR_LOOP))
		return MSR_READY;
	return (modem & 2) << 3 | (modem & 1) << 5 | (modem & 4) << 4 | (modem & 8) << 4;
}

u8 uart_in(u16 port)
{
	u8 value;

	switch (port & 7) {
	case 0:
		return uart.line & LCR_DIVISOR ? uart.divisor[0] : receive();
	case 1:
		return uart.line & LCR_DIVISOR ? uart.divisor[1] : uart.enable;
	case 2:
		value = interrupt_cause();
		if (value == IIR_EMPTY)
			uart.empty_waits = false;
		return value | (uart.fifo ? IIR_FIFO : 0);
	case 3:
		return uart.line;
	case 4:
		return uart.modem;
	case 5:
		return LSR_EMPTY | (data_waits() ? LSR_DATA : 0);
	case 6:
		return modem_status();
	default:
		return uart.scratch;
	}
}

void uart_out(u16 port, u8 value)
{
	switch (port & 7) {
	case 0:
		if (uart.line & LCR_DIVISOR)
			uart.divisor[0] = value;
		else
			send(value);
		break;
	case 1:
		if (uart.line & LCR_DIVISOR) {
			uart.divisor[1] = value;
			break;
		}
		if (value & ~uart.enable & IER_EMPTY)
			uart.empty_waits = true;
		uart.enable = value & 0xF;
		break;
	case 2:
		uart.fifo = value & 1;
		break;
	case 3:
		uart.line = value;
		break;
	case 4:
		uart.modem = value & 0x1F;
		break;
	case 7:
		uart.scratch = value;
		break;
	default:
		break;
	}
	uart_check();
}
