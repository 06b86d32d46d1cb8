/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Power-off by ACPI, after the measurements or after a trap that none of them makes. */
#include "guest_kernel/native_bench/end.h"
#include "guest_kernel/base/print.h"
#include "switcher/layouts/machine.h"
#include "switcher/layouts/types.h"

#define ACPI_SLEEP_ENABLE     0x2000
#define ACPI_SLEEP_TYPE_SHIFT 10

void native_power_off(void)
{
	u16 command = ACPI_SLEEP_ENABLE | ACPI_SLEEP_TYPE_OFF << ACPI_SLEEP_TYPE_SHIFT;
	__asm__ volatile("outw %0, %1" : : "a"(command), "Nd"((u16)ACPI_PM1_CONTROL));
	for (;;)
		__asm__ volatile("cli; hlt");
}

void native_trapped(u32 vector, const u32 *frame)
{
	print("trap %u: %x %x %x\n", vector, frame[0], frame[1], frame[2]);
	native_power_off();
}
