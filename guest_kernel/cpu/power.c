/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power-off, restart, panic and halt. The Host tells a panic from a power-off by the text alone.
 * Next in the book: guest_kernel/bus/vring.h.
 */
#include "guest_kernel/cpu/power.h"
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/interrupts.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define MESSAGE_BYTES 120 /* the Host reads at most 128 */
#define ALL_MASKED    0xFFFFFFFF

static void shutdown(const char *message, u32 type)
{
	irq_disable();
	print_flush();
	hypercall(LHCALL_SHUTDOWN, physical(message), type, 0, 0);
}

void power_halt(void)
{
	irq_disable();
	print_flush();
	lguest_data.blocked_interrupts = ALL_MASKED;
	hypercall_async(LHCALL_SET_CLOCKEVENT, 0, 0, 0, 0); /* cancels the clock */
	for (;;)
		hypercall(LHCALL_HALT, 0, 0, 0, 0);
}

void power_off(void)
{
	shutdown("Power down", SHUTDOWN_POWEROFF);
	power_halt(); /* a Host that ignores SHUTDOWN */
}

void power_restart(void)
{
	shutdown("Restart", SHUTDOWN_RESTART);
	power_halt();
}

void panic(const char *why)
{
	static char message[MESSAGE_BYTES];
	text_copy(message, why, sizeof(message));
	shutdown(message, SHUTDOWN_POWEROFF);
	power_halt();
}
