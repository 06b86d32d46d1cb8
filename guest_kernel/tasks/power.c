/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Power-off, restart, panic and halt. The Host tells a panic from a power-off by the text alone. */
#include "guest_kernel/tasks/power.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/console/text.h"

static void shutdown(const char *message, u32 type)
{
	irq_disable();
	console_flush();
	hypercall(LHCALL_SHUTDOWN, physical(message), type, 0, 0);
}

void power_halt(void)
{
	irq_disable();
	console_flush();
	lguest_data.blocked_interrupts = 0xFFFFFFFF;
	clock_arm(CLOCK_NEVER);
	for (;;)
		hypercall(LHCALL_HALT, 0, 0, 0, 0);
}

void power_off(void)
{
	shutdown("Power down", SHUTDOWN_POWEROFF);
	power_halt(); /* the Host did not do it */
}

void power_restart(void)
{
	shutdown("Restart", SHUTDOWN_RESTART);
	power_halt();
}

void power_panic(const char *why)
{
	static char message[120]; /* the Host reads at most 128 bytes */
	text_copy(message, why, sizeof(message));
	shutdown(message, SHUTDOWN_POWEROFF);
	power_halt();
}
