/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The serial port's interrupt: its cause, and the line to the interrupt controller.  Read next: uart.c. */
#include "host_kernel/native/pc/uart.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/sections.h"

#define UART_IRQ 4

struct uart uart;

u8 uart_cause(void)
{
	if ((uart.enable & IER_STATUS) && uart.errors)
		return IIR_STATUS;
	if ((uart.enable & IER_RECEIVED) && uart.count >= uart_trigger())
		return IIR_RECEIVED;
	if ((uart.enable & IER_RECEIVED) && uart.timed_out)
		return IIR_TIMEOUT;
	if ((uart.enable & IER_EMPTY) && uart.empty_pending)
		return IIR_EMPTY;
	if ((uart.enable & IER_MODEM) && uart.changes)
		return IIR_MODEM;
	return IIR_NONE;
}

/* OUT2 connects the line to the interrupt controller; loopback mode disconnects it. */
void uart_update(void)
{
	static bool was_high HOT;
	bool high = (uart.modem & MCR_OUT2) && !(uart.modem & MCR_LOOP) && uart_cause() != IIR_NONE;

	if (high == was_high)
		return;
	was_high = high;
	irq_line(UART_IRQ, high);
}
