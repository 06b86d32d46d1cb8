/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Guest under gdb: it stops at a breakpoint, after a step, at a watchpoint, and goes on when the Launcher says so, which
 * speaks to gdb.  While it stands still the Launcher reads its memory and registers by itself, and writes the registers.
 * Memory is written here, because QEMU translates code and must see it change.
 *
 * A layer around the personality, which is there only while gdb is: without it nothing here runs.  A breakpoint of gdb's is
 * an int3 in the Guest's code.  Each int3 faults, because its gate is closed for the Guest, and the Launcher knows whose it is:
 * so there may be any number of them, and those of the Guest's own (a debugger in it, ftrace) go to its handler as before.
 * Read before: host_kernel/core/run.c, host_kernel/machine/saved.c.  Read next: step.c, lguest_py/gdb/guest.py.
 */
#include <stddef.h>
#include "host_kernel/debugger/debugger.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/print.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/machine/saved.h"
#include "host_kernel/machine/tables.h"
#include "host_kernel/memory/dirty.h"
#include "host_kernel/memory/guest_virtual.h"

#define CLOSED_GATE(vector) ((vector) << 3 | 2u) /* the error code of an int whose gate does not let the Guest through */
#define INT3  0xCC
#define INT_N 0xCD

static struct debugger *const debugger = (struct debugger *)DEBUGGER_ADDRESS;
static bool attached, stepping;
static u64 gate, closed; /* of int3: as it is without gdb, and as it is now */
static void (*plain_interrupts)(void), (*plain_before_entry)(void), (*plain_trap)(void); /* the personality's, below this layer */

/* Do what the Launcher asks of a machine that stands still.  Is there a stop that it has not seen yet? */
static bool serve(void)
{
	u32 request = read_once(&debugger->request), address = debugger->address, count = debugger->count;

	if (request != debugger->done) {
		if (count <= DEBUGGER_BYTES && address < guest.limit && count <= guest.limit - address) {
			memcpy((u8 *)(machine.guest_base + address), debugger->data, count);
			mark_dirty(address / PAGE_BYTES);
		}
		debugger->done = request;
		mailbox_doorbell();
	}
	return read_once(&debugger->seen) != debugger->stops;
}

static void interrupts(void);
static void before_entry(void);
static void trap(void);

/* The gate of int3.  The Guest may have loaded another one since the last time. */
static void close_gate(void)
{
	if (state->idt[TRAP_BREAKPOINT] == closed)
		return;
	gate = state->idt[TRAP_BREAKPOINT];
	guest_idt_to_switcher(TRAP_BREAKPOINT, 0);
	closed = state->idt[TRAP_BREAKPOINT];
}

/* The layer below the one of the debug registers, which comes and goes as well. */
static void attach(bool wanted)
{
	debug_registers_off();
	attached = wanted;
	if (wanted) {
		plain_interrupts = personality.interrupts;
		plain_before_entry = personality.before_entry;
		plain_trap = personality.trap;
		personality.interrupts = interrupts;
		personality.before_entry = before_entry;
		personality.trap = trap;
		gate = state->idt[TRAP_BREAKPOINT];
		closed = 0;
	} else {
		close_gate();
		personality.interrupts = plain_interrupts;
		personality.before_entry = plain_before_entry;
		personality.trap = plain_trap;
		state->idt[TRAP_BREAKPOINT] = gate;
	}
	debug_registers_on();
}

/* Stand still, and then do what is wanted. */
static void pause(void)
{
	const struct registers *regs = guest.regs;
	u32 eip = regs->eip, wanted, registers[4];

	personality.control_registers(registers);
	debugger->cr0 = registers[0];
	debugger->cr2 = registers[1];
	debugger->cr3 = registers[2];
	debugger->cr4 = registers[3];
	debugger->processor = (u32)&saved_processor;
	debugger->hardware = debug_registers_work();
	stand_still(serve);
	wanted = debugger->wanted;
	if (regs->eip != eip)
		guest.halted = false; /* gdb calls a function */
	if (!!(wanted & DEBUGGER_ATTACHED) != attached)
		attach(!attached);
	stepping = attached && (wanted & DEBUGGER_STEP);
	if (attached || debug_registers_lent())
		debug_registers_lend(debugger->registers, attached ? debugger->control : 0);
}

static void stop(u32 cause, u32 hits)
{
	debugger->cause = cause;
	debugger->hits = hits;
	debugger->stops++;
	pause();
}

/* No interrupt comes between a step and the next, or one would never leave the handler of the timer's. */
static void interrupts(void)
{
	bool halted = guest.halted;

	if (stepping && !halted)
		return;
	plain_interrupts();
	if (stepping && !guest.halted)
		stop(DEBUGGER_STEPPED, 0);
}

static void before_entry(void)
{
	plain_before_entry();
	close_gate();
	if (stepping)
		step_prepare();
}

/* An int whose gate is closed because of gdb, and that is not gdb's own.  True: it is done with. */
static bool closed_gate(u8 opcode)
{
	u32 vector = guest.regs->errcode >> 3;

	return personality.software_interrupt && personality.software_interrupt(vector, opcode == INT_N ? 2 : 1);
}

/* Did the Guest fault at such an int?  Then opcode is its first byte. */
static bool at_closed_gate(bool is_step, u8 *opcode)
{
	const struct registers *regs = guest.regs;
	u32 vector = regs->errcode >> 3;

	return regs->trapnum == TRAP_GENERAL && regs->errcode == CLOSED_GATE(vector) &&
	       (vector == TRAP_BREAKPOINT || (is_step && step_closed(vector))) &&
	       guest_try_read(opcode, personality.segment_base(regs->cs) + regs->eip, 1);
}

static void trap(void)
{
	bool is_debug = guest.regs->trapnum == TRAP_DEBUG, is_step = stepping, took;
	u32 cause = is_debug ? debug_cause() : 0, hits = cause & debug_registers_lent(), others;
	u8 opcode;

	took = is_step && step_took(cause & DR6_STEP);
	if (is_debug) {
		others = cause & ~hits & ~(took ? DR6_STEP : 0);
		if (others || (!took && !hits)) {
			write_dr6(DR6_RESET | others);
			plain_trap();
		}
	} else if (at_closed_gate(is_step, &opcode)) {
		if (opcode == INT3) {
			stop(DEBUGGER_INT3, 0);
			if (!(debugger->wanted & DEBUGGER_DELIVER))
				return;
		}
		if (!closed_gate(opcode))
			plain_trap();
	} else {
		plain_trap();
	}
	if (is_step && (took || step_is_done()))
		stop(DEBUGGER_STEPPED, hits);
	else if (hits)
		stop(DEBUGGER_HARDWARE, hits);
}

void debugger_init(void)
{
	mailbox_pause = pause;
	if (read_once(&mailbox->pause))
		pause();
}
