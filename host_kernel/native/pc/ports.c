/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O ports: without a device, reads give ones and writes are ignored.
 * Power-off and restart are here too: the ACPI registers for them, and the keyboard controller's reset line.
 * Source: ACPI specification 4.8.3 (PM1 registers, PM timer), 4.8.3.6 (reset register); lguest_py/images/acpi.py has the tables.
 */
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/host.h"

#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_PULSE   0xF0 /* pulses output lines whose bits are 0; the lowest is the reset line */
#define KEYBOARD_OTHERS  0x0E
#define CONTROL_PORT_A   0x92
#define CONTROL_A20      2u
#define CONTROL_RESET    1u
#define RESET_PORT       0xCF9
#define SLEEP_ENABLE     0x2000u
#define SLEEP_TYPE(value) ((value) >> 10 & 7)
#define SCI_ENABLED      1u
#define PM_TIMER_HZ      3579545u

static u16 pm1_status, pm1_enable;

/* Kernels measure the local APIC's timer against it: the other way, against the PIT's interrupts, fails where one is late. */
static u32 pm_timer(void)
{
	return divide(scale(rdtsc(), PM_TIMER_HZ, machine.tsc_khz), 1000, NULL);
}

static u8 in_byte(u16 port)
{
	switch (port) {
	case 0x20 ... 0x21:
	case 0xA0 ... 0xA1:
	case 0x4D0 ... 0x4D1:
		return pic_in(port);
	case 0x40 ... 0x43:
		return pit_in(port);
	case 0x61:
		return speaker_in();
	case 0x70 ... 0x71:
		return cmos_in(port);
	case CONTROL_PORT_A:
		return CONTROL_A20;
	case 0x3F8 ... 0x3FF:
		return uart_in(port);
	case ACPI_PM1_EVENT ... ACPI_PM1_EVENT + 1:
		return pm1_status >> port % 2 * 8;
	case ACPI_PM1_EVENT + 2 ... ACPI_PM1_EVENT + 3:
		return pm1_enable >> port % 2 * 8;
	case ACPI_PM1_CONTROL:
		return SCI_ENABLED;
	case ACPI_PM1_CONTROL + 1:
		return 0;
	case ACPI_PM_TIMER ... ACPI_PM_TIMER + 3:
		return pm_timer() >> port % 4 * 8;
	default:
		return 0xFF;
	}
}

static void out_byte(u16 port, u8 value)
{
	switch (port) {
	case 0x20 ... 0x21:
	case 0xA0 ... 0xA1:
	case 0x4D0 ... 0x4D1:
		pic_out(port, value);
		break;
	case 0x40 ... 0x43:
		pit_out(port, value);
		break;
	case 0x61:
		speaker_out(value);
		break;
	case KEYBOARD_COMMAND:
		if ((value & ~KEYBOARD_OTHERS) == KEYBOARD_PULSE)
			end_guest(END_RESTART, "by the keyboard controller");
		break;
	case CONTROL_PORT_A:
		if (value & CONTROL_RESET)
			end_guest(END_RESTART, "by port 0x92 (fast reset)");
		break;
	case 0x70 ... 0x71:
		cmos_out(port, value);
		break;
	case 0x3F8 ... 0x3FF:
		uart_out(port, value);
		break;
	case ACPI_PM1_EVENT + 2:
		pm1_enable = (pm1_enable & 0xFF00) | value;
		break;
	case ACPI_PM1_EVENT + 3:
		pm1_enable = (pm1_enable & 0xFF) | value << 8;
		break;
	case RESET_PORT:
		if (value & 4)
			end_guest(END_RESTART, "by the reset register (port 0xCF9)");
		break;
	default:
		break;
	}
}

u32 port_in(u16 port, u32 size)
{
	u32 value = 0;

	if (size == 1)
		return in_byte(port);
	if (port == ACPI_PM_TIMER && size == 4)
		return pm_timer();
	for (u32 byte = 0; byte < size; byte++)
		value |= (u32)in_byte(port + byte) << byte * 8;
	return value;
}

void port_out(u16 port, u32 value, u32 size)
{
	if (size == 1) {
		out_byte(port, value);
		return;
	}
	if (port == ACPI_PM1_CONTROL && (value & SLEEP_ENABLE) && SLEEP_TYPE(value) == ACPI_SLEEP_TYPE_OFF)
		end_guest(END_POWER_OFF, "Power down");
	for (u32 byte = 0; byte < size; byte++)
		out_byte(port + byte, value >> byte * 8);
}
