/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lguest personality: a paravirtual kernel, which keeps its interrupt flag in memory and makes hypercalls.  It was
 * written for its Host, so there is little to find out about it: here stands which file answers which question of the run
 * loop.
 * Read before: host_kernel/core/run.c.  Read next: traps.c, interrupts.c, hypercalls.c.
 * Next in the book: traps.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/memory/paging.h"
#include "host_kernel/pci/pci.h"

static void device_irq(u32 number, u32 cause)
{
	if (machine.bus == BUS_PCI)
		pci_raise(number, cause);
	else
		raise_irq(number);
}

/* It is pending from each new request until the driver reads the ISR. */
static void irq_line(u32 irq, bool high)
{
	if (high)
		raise_irq(irq % LGUEST_IRQS);
	else
		withdraw_irq(irq % LGUEST_IRQS);
}

static void init(void)
{
	debug_registers_init();
	guest.strict = true;
	guest.global = PTE_G;
	guest.write_protect = true;
	segments_init();
	gates_init();
}

/* The Guest need not make a hypercall when it enables interrupts, so every pending one needs a retry. */
static bool ALWAYS needs_retry(void)
{
	return guest.pending != 0;
}

static void clock_expired(void)
{
	raise_irq(0);
}

/* The real interrupt flag is always set; the virtual one is in lguest_data. */
static void ALWAYS before_entry(void)
{
	guest.regs->eflags |= EFLAGS_IF;
	state->interrupt_pending = guest.pending;
	untrusted->reflected = 0;
}

static void control_registers(u32 registers[4])
{
	registers[0] = guest.directory == LINEAR_MAP ? 0 : CR0_PG;
	registers[1] = guest.cr2;
	registers[2] = guest.directory == LINEAR_MAP ? 0 : guest.directory;
	registers[3] = 0;
}

const struct personality lguest_personality = {
	.init = init,
	.interrupts = inject_interrupts,
	.needs_retry = needs_retry,
	.asleep = check_wakeable,
	.clock_expired = clock_expired,
	.device_irq = device_irq,
	.before_entry = before_entry,
	.trap = handle_trap,
	.irq_line = irq_line,
	.segment_base = lguest_segment_base,
	.software_interrupt = software_interrupt,
	.control_registers = control_registers,
};
