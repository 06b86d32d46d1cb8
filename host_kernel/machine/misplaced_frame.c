/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame of an exit is not where the Guest's registers are.  Either the Switcher faulted while it restored them, and the
 * CPU pushed a frame of ring 0 below them, or the Guest was in virtual-8086 mode, and the CPU pushed four words more.  The
 * Guest dies, and the report gets its real registers, which the frame has only a part of.
 * Read before: world_switch.h.  Read next: second_return.c.
 * Next in the book: host_kernel/native/native.h.
 */
#include <stddef.h>
#include "host_kernel/machine/world_switch.h"
#include "host_kernel/machine/second_return.h"

#define IRET 0xCF
#define FIRST_SEGMENT (offsetof(struct registers, gs) / 4)
#define SEGMENTS 4

/* The words above the frame that a trap from virtual-8086 mode pushes.  Source: Intel SDM vol. 3, 21.3.1. */
struct virtual_8086 {
	u32 es;
	u32 ds;
	u32 fs;
	u32 gs;
};

static void kill_virtual_8086(const struct registers *at)
{
	const struct virtual_8086 *above = (const struct virtual_8086 *)(at + 1);
	struct registers real = *at;

	real.es = above->es;
	real.ds = above->ds;
	real.fs = above->fs;
	real.gs = above->gs;
	*guest.regs = real;
	kill_guest("the Guest entered virtual-8086 mode, which ring 1 does not have, at %#x:%#x", real.cs & 0xFFFF, real.eip);
}

/* A segment register could not be loaded: those before it, and the general registers, are in the CPU. */
static void kill_at_segment(const struct registers *at, u32 faulted)
{
	static const char names[SEGMENTS][3] = { "gs", "fs", "ds", "es" };
	struct registers loaded = *at; /* the two frames overlap */

	second_return_undo();
	for (u32 word = 0; word < faulted; word++)
		((u32 *)guest.regs)[word] = ((const u32 *)&loaded)[word];
	guest.regs->trapnum = loaded.trapnum;
	guest.regs->errcode = loaded.errcode;
	kill_guest("fault %u (error code %#x) loading %#x into the Guest's %s", loaded.trapnum, loaded.errcode,
		   ((const u32 *)guest.regs)[faulted] & 0xFFFF, names[faulted - FIRST_SEGMENT]);
}

/* An iret to the Guest: where it leads is on the stack, where ring 0 pushes no esp and ss. */
static void kill_at_iret(const struct registers *at)
{
	const u32 *to = &at->esp;
	struct registers real = *at;

	real.eip = to[0];
	real.cs = to[1];
	real.eflags = to[2];
	real.esp = to[3];
	real.ss = to[4];
	*guest.regs = real;
	kill_guest("fault %u (error code %#x) at the return to the Guest at %#x:%#x", real.trapnum, real.errcode,
		   real.cs & 0xFFFF, real.eip);
}

/* pop of es or ds, of fs or gs.  Source: Intel SDM vol. 2, POP. */
static bool is_segment_pop(const u8 *text)
{
	return text[0] == 0x07 || text[0] == 0x1F || (text[0] == 0x0F && (text[1] == 0xA1 || text[1] == 0xA9));
}

void __attribute__((noinline, cold)) misplaced_frame(const struct registers *at)
{
	u32 word = &at->esp - (const u32 *)guest.regs; /* what the stack pointer was at */
	const u8 *text = (const u8 *)at->eip;

	if (at->trapnum == TRAP_PAGE_FAULT)
		guest.cr2 = read_cr2();
	if (at->eflags & EFLAGS_VM)
		kill_virtual_8086(at);
	if ((at->cs & 0xFFFF) == HOST_CS && at->eip - SWITCHER_BASE < PAGE_BYTES) {
		if (*text == IRET)
			kill_at_iret(at);
		if (is_segment_pop(text) && word - FIRST_SEGMENT < SEGMENTS)
			kill_at_segment(at, word);
	}
	host_exception(at);
}
