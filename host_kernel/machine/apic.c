/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's one-shot timer, and the Launcher's doorbell interrupt through one pin of the I/O APIC.
 * Source: Intel SDM vol. 3, chapter 11; 82093AA I/O APIC datasheet, 3.2.  Read next: clock.c.
 * Next in the book: host_kernel/core/run.c.
 */
#include "host_kernel/machine/apic.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/host.h"

#define APIC_EOI        0x0B0
#define APIC_SPURIOUS   0x0F0
#define APIC_LVT_TIMER  0x320
#define APIC_LVT_LINT0  0x350
#define APIC_LVT_LINT1  0x360
#define APIC_COUNT      0x380
#define APIC_CURRENT    0x390
#define APIC_DIVIDE     0x3E0
#define APIC_ENABLE     0x100
#define APIC_MASKED     0x10000
#define DIVIDE_BY_1     0xB
#define APIC_HZ         1000000000u /* on both engines: one count is one nanosecond */

#define UART_DATA   0
#define UART_ENABLE 1
#define UART_FIFO   2
#define UART_MODEM  4
#define UART_STATUS 5

static void apic_write(u32 at, u32 value)
{
	*(volatile u32 *)(LOCAL_APIC_ADDRESS + at) = value;
}

static u32 apic_read(u32 at)
{
	return *(volatile u32 *)(LOCAL_APIC_ADDRESS + at);
}

static void io_apic_write(u32 at, u32 value)
{
	*(volatile u32 *)IO_APIC_ADDRESS = at;
	*(volatile u32 *)(IO_APIC_ADDRESS + 0x10) = value;
}

/* Empty the serial port's receiver, which lowers its line: without that the edge-triggered pin sees no further edge. */
void apic_acknowledge_doorbell(void)
{
	u16 port = machine.doorbell_ack_port;

	while (port && (inb(port + UART_STATUS) & 1))
		inb(port + UART_DATA);
}

void apic_init(void)
{
	/* The 8259s start unmasked, with vectors of exceptions: mask them, and the local pins that they drive. */
	outb(0x21, 0xFF);
	outb(0xA1, 0xFF);
	apic_write(APIC_LVT_LINT0, APIC_MASKED);
	apic_write(APIC_LVT_LINT1, APIC_MASKED);
	apic_write(APIC_SPURIOUS, APIC_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
	io_apic_write(0x10 + 2 * machine.doorbell_pin + 1, 0);
	io_apic_write(0x10 + 2 * machine.doorbell_pin, VECTOR_DOORBELL);
	if (machine.doorbell_ack_port) {
		outb(machine.doorbell_ack_port + UART_ENABLE, 1);
		outb(machine.doorbell_ack_port + UART_FIFO, 0); /* no FIFO: with it an interrupt could be delayed until the next byte */
		outb(machine.doorbell_ack_port + UART_MODEM, 8); /* OUT2 lets the line through */
		apic_acknowledge_doorbell();
	}
}

/* Arm the timer; 0 stops it. */
void apic_timer(u32 nanoseconds)
{
	apic_write(APIC_COUNT, nanoseconds);
}

/* Read the timer and the TSC at the same moment: of several tries, the one with the closest two TSC values. */
static u32 moment(u64 *tsc)
{
	u32 count = 0, best = ~0u;

	for (int try = 0; try < 8; try++) {
		u64 before = rdtsc();
		u32 current = apic_read(APIC_CURRENT);
		u32 took = rdtsc() - before;

		if (took < best) {
			best = took;
			count = current;
			*tsc = before + took / 2;
		}
	}
	return count;
}

/* The TSC's rate in kHz, against the timer for 10 ms: an error of a microsecond is one part in ten thousand. */
u32 apic_measure_tsc(void)
{
	u64 start = 0, end = 0;
	u32 first, last;

	apic_write(APIC_LVT_TIMER, APIC_MASKED | VECTOR_TIMER);
	apic_write(APIC_COUNT, ~0u);
	first = moment(&start);
	while (first - apic_read(APIC_CURRENT) < APIC_HZ / 100)
		;
	last = moment(&end);
	apic_write(APIC_COUNT, 0);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
	return (u32)(scale(2 * (end - start), 1000000, first - last) + 1) / 2; /* to the nearest */
}

void apic_end_of_interrupt(void)
{
	apic_write(APIC_EOI, 0);
}
