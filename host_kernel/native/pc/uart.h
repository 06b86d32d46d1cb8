/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the serial port's registers (uart.c), its interrupt (uart_interrupt.c) and its line (serial_line.c) share. */
#ifndef HOST_KERNEL_NATIVE_PC_UART_H
#define HOST_KERNEL_NATIVE_PC_UART_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

#define UART_FIFO_BYTES 16u
#define IER_RECEIVED 0x01
#define IER_EMPTY  0x02
#define IER_STATUS 0x04
#define IER_MODEM  0x08
#define IIR_MODEM    0x00 /* interrupt causes by rising priority; bit 0 is clear while one is pending */
#define IIR_NONE     0x01
#define IIR_EMPTY    0x02
#define IIR_TIMEOUT  0x0C /* same priority as IIR_RECEIVED */
#define IIR_RECEIVED 0x04
#define IIR_STATUS   0x06
#define FCR_FIFO     0x01
#define FCR_TRIGGER  0xC0
#define MCR_RTS      0x02
#define MCR_OUT2     0x08
#define MCR_LOOP     0x10

struct uart {
	u8 enable, control, line, modem, scratch, divisor[2];
	u8 errors;       /* of the line status, cleared by its read */
	u8 changes;      /* delta bits of the modem status, cleared by its read */
	u8 received[UART_FIFO_BYTES];
	u8 first, count; /* of the bytes in it */
	u8 polls;        /* reads in a row of an empty line status */
	bool empty_pending; /* the interrupt "transmitter empty" is pending */
	bool timed_out;  /* the FIFO is below its trigger level, and its timeout has passed */
};
extern struct uart uart;

/* The receiver's capacity, and the number of bytes that raise the interrupt; both are 1 without the FIFO. */
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

/* uart_interrupt.c */
u8 uart_cause(void);
void uart_update(void);

/* serial_line.c */
void line_was_read(void);
void line_was_polled(void);

#endif
