/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest's debug registers.  Its breakpoints are in the CPU's while it runs, and only then.  The Switcher sets DR7 as the
 * last thing before the Guest, on its own pages (second_return.c), and it is cleared first after an exit.  While there is no
 * breakpoint, an entry and an exit do nothing more for them.
 *
 * On the way out the Switcher and the Host kernel run for some instructions with breakpoints, and the Guest's addresses can be
 * the same as theirs.  A debug exception in ring 0 therefore clears DR7 and is ignored (switcher/debug_exception.h).  The
 * Switcher accesses memory of the Guest on its fast paths alone, so these are off.  Breakpoints in the Switcher's 4 MiB never
 * get into the CPU, nor do those on ports, because the instructions for them are emulated.
 * Source: Intel SDM vol. 3, 18.2.  Read next: host_kernel/native/debug.c.
 * Next in the book: saved.c.
 */
#include <stddef.h>
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/host.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/machine/second_return.h"

#define BREAKPOINTS 4u
#define KIND_EXECUTE 0u
#define KIND_PORT    2u
#define DR6_WRITABLE (DR6_STEP | DR6_DETECTED | 0x800Fu)
#define DR7_WRITABLE 0xFFFF23FFu
#define DR7_DETECT   0x2000u
#define WATCH_0      0xD0002u /* writes of four bytes, by the first */

static u32 address[BREAKPOINTS], status, control; /* DR0-3, 6 and 7 as the Guest sees them */
static u32 active;                       /* DR7 while the Guest runs, */
static u32 real[BREAKPOINTS];            /* and DR0-3 */
static u32 lent_address[BREAKPOINTS], lent; /* to a debugger: its DR0-3 and 7, whose breakpoints come before the Guest's */
static void (*before_entry)(void), (*trap)(void); /* of the personality; NULL: it has its own */

void debug_registers_init(void)
{
	status = DR6_RESET;
	control = active = state->return_dr7 = DR7_RESET;
}

static void entry(void)
{
	before_entry();
	no_fast_paths();
	state->page_fault_handler = 0; /* the next change of page directories sets it again */
}

static void exit_reason(void)
{
	const struct registers *regs = guest.regs;
	u32 eip = regs->eip, cs = regs->cs;

	write_dr7(DR7_RESET);
	trap();
	/* A fault sets RF, for a second attempt without the breakpoint.  The instruction after one that was emulated is another. */
	if (regs->cs == cs && regs->eip - eip - 1 < LONGEST_INSTRUCTION)
		guest.regs->eflags &= ~EFLAGS_RF;
}

/* The breakpoints that the CPU can have: DR0-3, and DR7. */
static u32 real_control(void)
{
	u32 dr7 = DR7_RESET;

	for (u32 number = 0; number < BREAKPOINTS; number++) {
		bool is_lent = lent >> number * 2 & 3;
		u32 from = is_lent ? lent : control, kind = from >> (16 + number * 4) & 0xF;

		real[number] = is_lent ? lent_address[number] : address[number];
		if (!(from >> number * 2 & 3) || (kind & 3) == KIND_PORT || real[number] >= SWITCHER_BASE)
			continue;
		if ((kind & 3) == KIND_EXECUTE)
			kind = KIND_EXECUTE; /* its length has no other meaning */
		dr7 |= 2u << number * 2 | kind << (16 + number * 4);
	}
	return dr7;
}

/* As without breakpoints, so that another layer can be put below this one or be taken away; debug_registers_on() follows. */
void debug_registers_off(void)
{
	if (!before_entry)
		return;
	personality.before_entry = before_entry;
	personality.trap = trap;
	before_entry = trap = NULL;
	second_return(RETURN_BREAKPOINTS, false);
}

static void use(void)
{
	active = state->return_dr7 = real_control();
	if (active == DR7_RESET) {
		debug_registers_off();
	} else {
		write_dr0_to_3(real);
		if (before_entry)
			return;
		before_entry = personality.before_entry;
		trap = personality.trap;
		personality.before_entry = entry;
		personality.trap = exit_reason;
		second_return(RETURN_BREAKPOINTS, true);
	}
}

void debug_registers_on(void)
{
	use();
}

/* A debugger's own, in the place of the Guest's of the same number. */
void debug_registers_lend(const u32 addresses[BREAKPOINTS], u32 dr7)
{
	for (u32 number = 0; number < BREAKPOINTS; number++)
		lent_address[number] = addresses[number];
	lent = dr7;
	use();
}

/* Which of them are a debugger's, as bits. */
u32 debug_registers_lent(void)
{
	u32 numbers = 0;

	for (u32 number = 0; number < BREAKPOINTS; number++)
		numbers |= (u32)!!(lent >> number * 2 & 3) << number;
	return numbers;
}

/* Does a watchpoint go off at all?  It does in ring 0, where the entry of the debug exception turns all off. */
bool debug_registers_work(void)
{
	static volatile u32 watched;
	const u32 places[BREAKPOINTS] = { (u32)&watched };
	bool went_off;

	write_dr0_to_3(places);
	write_dr7(DR7_RESET | WATCH_0);
	watched = 1;
	went_off = read_dr7() == DR7_RESET;
	write_dr7(DR7_RESET);
	write_dr0_to_3(real);
	return went_off;
}

/* In another machine the CPU's are as after reset. */
void debug_registers_restored(void)
{
	if (active != DR7_RESET)
		write_dr0_to_3(real);
}

/* Not of DR4 and 5. */
u32 debug_register_read(u32 number)
{
	return number < BREAKPOINTS ? address[number] : number == 6 ? status : control;
}

void debug_register_write(u32 number, u32 value)
{
	if (number == 6) {
		status = (value & DR6_WRITABLE) | DR6_RESET;
		return;
	}
	if (number == 7)
		control = (value & DR7_WRITABLE) | DR7_RESET;
	else
		address[number] = value;
	use();
}

/* An access to the registers: does the Guest want a debug exception instead (general detect)? */
bool debug_register_detected(void)
{
	return control & DR7_DETECT;
}

/* The CPU raised a debug exception in the Guest: its cause, as bits of DR6. */
u32 debug_cause(void)
{
	u32 cause = read_and_clear_dr6() & (DR6_STEP | 0xF), possible = DR6_STEP;

	for (u32 number = 0; number < BREAKPOINTS; number++)
		possible |= (active >> (number * 2 + 1) & 1) << number; /* the CPU may also report those that are not enabled */
	return cause & possible;
}

/* The Guest gets a debug exception. */
void debug_raised(u32 cause)
{
	status |= cause;
	control &= ~DR7_DETECT;
}
