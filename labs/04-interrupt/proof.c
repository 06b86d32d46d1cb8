/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 4: whether interrupts work.  Nothing is to be changed here; the test reads what this prints.
 *
 * Read before: guest.c.  Read next: registers.S.
 */
#include "labs/04-interrupt/lab.h"

#define TICKS   10u
#define PATIENCE_MS 20
#define ROUNDS  20000u /* of the loop in registers.S: less than a tick, mostly */

void clock_arm(void)
{
	hypercall(LHCALL_SET_CLOCKEVENT, CLOCK_NS, 0, 0);
}

/* Whether more than PATIENCE_MS have passed since start, and the Host kernel was then asked once more for what is pending. */
static bool too_late(u32 start)
{
	if (read_tsc() - start < PATIENCE_MS * lguest_data.tsc_khz)
		return false;
	hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0);
	return true;
}

static bool first_tick_comes(void)
{
	u32 start = read_tsc();

	lguest_data.blocked_interrupts = ~(1u << CLOCK_IRQ);
	lguest_data.irq_enabled = GUEST_IF;
	clock_arm();
	while (!ticks && !too_late(start))
		;
	return ticks != 0;
}

static bool ticks_come_while_waiting(void)
{
	u32 end = ticks + TICKS, before = ticks, start = read_tsc();

	while ((s32)(end - ticks) > 0) {
		wait_for_tick();
		if (ticks != before) {
			before = ticks;
			start = read_tsc();
		} else if (too_late(start) && ticks == before) {
			return false;
		}
	}
	return true;
}

/* Spin until TICKS interrupts came; the number of a register that one of them changed, or 0. */
static u32 registers_change(bool *came)
{
	u32 end = ticks + TICKS, before = ticks, start = read_tsc(), changed = 0;

	*came = true;
	while ((s32)(end - ticks) > 0 && !changed) {
		changed = spin_with_full_registers(ROUNDS);
		if (ticks != before) {
			before = ticks;
			start = read_tsc();
		} else if (too_late(start) && ticks == before) {
			*came = false;
			return changed;
		}
	}
	return changed;
}

void guest_main(void)
{
	bool came;
	u32 changed;

	set_clock_gate();
	came = first_tick_comes();
	print_answer("the first tick reaches clock_tick()", came);
	if (!came)
		return;
	came = ticks_come_while_waiting();
	print_answer("ticks come while the Guest waits", came);
	if (!came)
		return;
	changed = registers_change(&came);
	print_answer("ticks come while the Guest works", came);
	if (!came)
		return;
	print("register changed: ");
	print_number(changed);
	print("\n");
	lguest_data.irq_enabled = 0; /* to turn off the clock would not do: a tick that is pending turns it on again */
	print("ticks: ");
	print_number(ticks);
	print("\n");
}
