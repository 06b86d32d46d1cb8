/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PC's interrupt lines, each connected to the 8259s and to the I/O APIC, and the interrupt that the CPU takes.
 * Read next: pic.c, io_apic.c, local_apic.c.
 */
#include "host_kernel/native/pc/pc.h"

#define MESSAGE_LOGICAL 4u

/* The I/O APIC's pin: the 8259s' cascade leaves one free, and the clock is there (lguest_py/images/acpi.py). */
static u32 pin_of(u32 irq)
{
	return irq == IRQ_CLOCK ? IO_APIC_CLOCK_PIN : irq;
}

void irq_line(u32 irq, bool high)
{
	pic_line(irq, high);
	io_apic_line(pin_of(irq), high);
}

/* A message signalled interrupt; elsewhere than at the local APICs it is a write that no kernel asks for.  Source: Intel SDM vol. 3, 11.11. */
void irq_message(u32 address, u32 data)
{
	if (address >> 20 == LOCAL_APIC_ADDRESS >> 20)
		local_apic_message(address >> 12 & 0xFF, address & MESSAGE_LOGICAL, data >> 8 & 7, data & 0xFF, false);
}

/* The CPU takes the interrupt that is pending.  True: it is of the clock. */
bool irq_acknowledge(u32 *vector)
{
	if (!local_apic_vector)
		return pic_acknowledge(vector) == IRQ_CLOCK;
	return local_apic_acknowledge(vector) || *vector == io_apic_vector(pin_of(IRQ_CLOCK));
}
