/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the serial port's registers (uart.c) and its line (serial_line.c) share.
 */
#ifndef UART_H
#define UART_H
#include "host_kernel/native/native.h"

#define UART_FIFO_BYTES 16u
#define IER_RECEIVED 0x01
#define FCR_FIFO     0x01
#define FCR_TRIGGER  0xC0
#define MCR_RTS      0x02
#define MCR_OUT2     0x08
#define MCR_LOOP     0x10

struct uart {
	u8 enable, control, line, modem, scratch, divisor[2];
	u8 errors;       /* in the line status, until it is read */
	u8 changes;      /* of modem lines, until their status is read */
	u8 received[UART_FIFO_BYTES];
	u8 first, count; /* of the bytes in it */
	u8 polls;        /* reads of the line status in a row that found nothing */
	bool empty_waits; /* the transmitter became empty, and nobody was told */
	bool timed_out;  /* what is in the FIFO is below its trigger level and has lain there */
};
extern struct uart uart;

/* How many received bytes there is room for, and how many of them interrupt: without the FIFO, one. */
static inline u32 uart_capacity(void)
{
	return uart.control & FCR_FIFO ? UART_FIFO_BYTES : 1;
}

static inline u32 uart_trigger(void)
{
	static const u8 levels[] = { 1, 4, 8, 14 };

	return uart.control & FCR_FIFO ? levels[uart.control >> 6] : 1;
}

static inline void uart_push(u8 byte)
{
	uart.received[(uart.first + uart.count++) % UART_FIFO_BYTES] = byte;
}

/* uart.c */
void uart_update(void);

/* serial_line.c */
void line_was_read(void);
void line_was_polled(void);

#endif
