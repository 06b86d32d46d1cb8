/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug exceptions and debug registers of an unmodified kernel.  Source: Intel SDM vol. 3, 18.2, 18.3.
 * Read before: host_kernel/machine/debug_registers.c, step.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/machine/debug_registers.h"

/* The CPU raised one: a breakpoint, the trap flag of the Guest, or the one with which the Host kernel steps over a store. */
void __attribute__((noinline, cold)) native_debug_exception(void)
{
	u32 cause = debug_cause();

	if (native.stepping) {
		step_end();
		if (!(guest.regs->eflags & EFLAGS_TF))
			cause &= ~DR6_STEP;
		if (!cause)
			return;
	}
	inject_debug(cause);
}

/* mov to or from a debug register. */
bool emulate_debug_register(struct instruction *instruction, bool write)
{
	u32 *general, number;

	if (!next_byte(instruction, &instruction->modrm))
		return false;
	general = general_register(MODRM_RM(instruction->modrm));
	number = MODRM_REG(instruction->modrm);
	if ((number & 6) == 4) {
		if (native.cr4 & CR4_DE) {
			instruction->next = 0; /* this fault belongs to the instruction */
			native_inject(TRAP_UNDEFINED, 0);
			return true;
		}
		number += 2;
	}
	if (debug_register_detected()) {
		instruction->next = 0;
		inject_debug(DR6_DETECTED);
		return true;
	}
	if (write)
		debug_register_write(number, *general);
	else
		*general = debug_register_read(number);
	return true;
}
