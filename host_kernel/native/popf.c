/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernels that set the interrupt flag by popf, as Linux did before 5.12.  In ring 1 popf neither faults nor changes the
 * flag, so each popf that may run with interrupts off is replaced by an instruction of one byte that faults, and emulated.
 *
 * Such a popf comes after a cli, and every cli faults.  At the first fault of a cli the kernel is watched until its
 * interrupt flag is set again: it is single-stepped, and from where it runs its code is followed along both ways of each
 * branch.  So what is found is an instruction and not data.  (After a call it is taken for granted that the call returns.)
 * The cli is then replaced too, by another such instruction: the Switcher answers that one, so that a cli that was seen
 * costs no more than in newer kernels.
 *
 * A cli in a routine that returns with interrupts off, as one does that takes a lock, is watched once for each caller,
 * and replaced when only known ones have called for long.  Else all that is known about the kernel's code is written in the code itself: code that
 * is overwritten, freed or loaded has its own cli again, and is watched again.
 *
 * A popf can be missed that is reached through a pointer, if another one was at the first time.  It leaves interrupts off
 * up to the next sti or iret.  It is found later, because now and then a cli gets its place back and is watched again, and
 * so does the last one when an interrupt has been pending for some traps while the flag is clear.
 *
 * Read before: personality.c.  Read next: host_kernel/instruction/flow.c; switcher/fast_paths.h.
 * Next in the book: refill.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/instruction/flow.h"
#include "host_kernel/memory/dirty.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/walk.h"

#define CLI   0xFAu
#define PUSHF 0x9Cu
#define POPF  0x9Du
#define RET   0xC3u
#define RET_AND_DROP 0xC2u
#define POPPED (~(EFLAGS_IOPL | EFLAGS_VM | EFLAGS_RF | EFLAGS_VIF | EFLAGS_VIP | EFLAGS_NT))
#define STEPS      1000u /* in which an interrupt flag is mostly set again */
#define PATIENCE   16u   /* traps with an interrupt pending and the flag clear */
#define AGAIN      4096u /* traps, until a cli is watched again */
#define FOLLOWED   4000u /* instructions, at most, from one start */
#define BRANCHES   128u  /* to be followed still */
#define SEEN       16384u
#define SPREAD     0x9E3779B1u /* makes the keys of each watch others */

#define SAVERS     64u
#define NEW_CALLERS 512u /* more than a routine has: what was taken for its return address is another word */
#define NEW_CALLERS_AGAIN 4u
#define CALM        4096u /* calls in a row by known callers */
#define CALM_AGAIN  64u
#define CALLERS    4096u
#define FARTHEST_RETURN 256u /* bytes on the stack, from a cli to the return address of its routine */

/* Routines that return with the flag clear, as those do that take a lock and save the flags. */
static struct saver {
	u32 cli;    /* the address of their cli */
	u32 offset; /* from esp there to the return address */
	u32 left;   /* how many new callers more, before it is replaced all the same, */
	u32 calm;   /* and how many calls by known ones */
} savers[SAVERS];
static u32 next_saver;
static u32 callers[CALLERS]; /* return addresses of theirs that were watched; two places for each */
static bool distrust;        /* the next is watched, whether or not it was */

static void (*plain_trap)(void);
static bool watching;  /* the Guest is single-stepped */
static bool flag_was_clear; /* when the watch began: then it ends with a popf */
static u32 steps_left;
static u32 watched_cli, watched_esp; /* the cli with which the watch began, until its routine returns, and esp there; or 0 */
static u32 waits, patience; /* traps with an interrupt pending, and how many are too many */
static u32 traps;      /* since a cli got its place back */
static u32 watches;
static u32 seen[SEEN]; /* keys of instructions that were followed in this watch; some may be forgotten, and followed again */

/* The Guest's byte at this address, which programs cannot reach; or NULL. */
static u8 *kernel_byte(u32 address)
{
	pte_t entry, pde;
	u32 error;

	if (!walk(address, 0, &entry, &pde, &error) || !guest_frame_valid(entry))
		return NULL;
	if (guest.directory != LINEAR_MAP && (entry & pde & PTE_US))
		return NULL;
	return (u8 *)(machine.guest_base + ((u32)entry & ~(PAGE_BYTES - 1)) + address % PAGE_BYTES);
}

/* Replace an instruction of one byte. */
static void replace(u32 address, u8 old, u8 new)
{
	u8 *byte = kernel_byte(address);

	if (byte && *byte == old) {
		*byte = new;
		mark_dirty(FRAME((u32)byte - machine.guest_base));
	}
}

static struct saver *saver_of(u32 cli)
{
	for (u32 index = 0; index < SAVERS; index++)
		if (savers[index].cli == cli)
			return &savers[index];
	return NULL;
}

/* Was this return address met before? */
static bool test_and_set_caller(u32 address)
{
	u32 index = (address ^ address >> 12) % CALLERS;

	if (callers[index] == address || callers[index ^ 1] == address)
		return true;
	callers[index ^ 1] = callers[index];
	callers[index] = address;
	return false;
}

/* A return while the kernel is watched: maybe that of the routine whose cli began the watch. */
static void note_return(void)
{
	const struct registers *regs = guest.regs;
	u32 address, offset = regs->esp - watched_esp;

	if (offset > FARTHEST_RETURN || !guest_try_read(&address, segment_base(regs->ss) + regs->esp, 4))
		return;
	if (!saver_of(watched_cli)) {
		replace(watched_cli, INSTEAD_OF_CLI, CLI);
		savers[next_saver++ % SAVERS] = (struct saver){ watched_cli, offset, NEW_CALLERS, CALM };
	}
	test_and_set_caller(address);
	watched_cli = 0;
}

static u32 fetch(u8 *bytes, u32 address)
{
	u32 here = PAGE_BYTES - address % PAGE_BYTES;

	if (guest_try_read(bytes, address, LONGEST_INSTRUCTION))
		return LONGEST_INSTRUCTION;
	return here < LONGEST_INSTRUCTION && guest_try_read(bytes, address, here) ? here : 0;
}

static bool test_and_set_seen(u32 address)
{
	u32 *place = &seen[(address ^ address >> 14) % SEEN], key = address ^ watches * SPREAD;
	bool was = *place == key;

	*place = key;
	return was;
}

/* Replace each popf that the code at this address leads to without a call, a return or a jump through a pointer. */
static void follow(u32 address)
{
	u32 branches[BRANCHES], count = 1, left = FOLLOWED;
	u8 bytes[LONGEST_INSTRUCTION];
	struct flow flow;

	branches[0] = address;
	while (count) {
		address = branches[--count];
		while (left && !test_and_set_seen(address) && flow_of(bytes, fetch(bytes, address), &flow)) {
			left--;
			if (flow.is_bare && bytes[0] == POPF)
				replace(address, POPF, INSTEAD_OF_POPF);
			if (flow.kind == FLOW_BRANCH && count < BRANCHES)
				branches[count++] = address + flow.target;
			if (flow.kind == FLOW_STOP)
				break;
			address += flow.kind == FLOW_JUMP ? flow.target : flow.length;
		}
	}
}

/* From here on, unless the kernel single-steps itself. */
static void watch(void)
{
	if (guest.regs->eflags & EFLAGS_TF)
		return;
	if (!watching) {
		watches++;
		flag_was_clear = !(guest.regs->eflags & EFLAGS_IF);
		steps_left = STEPS;
		watched_cli = 0;
	}
	watching = true;
	follow(guest.regs->eip);
}

/* Is there nothing new about this saver's cli? */
static bool is_known(struct saver *saver)
{
	u32 caller;
	bool known = guest_try_read(&caller, segment_base(guest.regs->ss) + guest.regs->esp + saver->offset, 4) &&
		     test_and_set_caller(caller) && !distrust;

	if (known ? !--saver->calm : !--saver->left) {
		saver->calm = CALM_AGAIN;
		saver->left = NEW_CALLERS_AGAIN;
		replace(saver->cli, CLI, INSTEAD_OF_CLI);
	} else if (!known) {
		saver->calm = CALM;
	}
	return known;
}

/* A cli that stands in its place. */
static void meet_cli(void)
{
	u32 cli = guest.regs->eip;
	struct saver *saver;

	if (watching)
		return;
	saver = saver_of(cli);
	if (saver && is_known(saver))
		return;
	distrust = false;
	watch();
	watched_cli = cli;
	watched_esp = guest.regs->esp;
	if (!saver)
		replace(cli, CLI, INSTEAD_OF_CLI);
}

static void emulate_cli(void)
{
	if (guest.regs->eflags & EFLAGS_IF)
		untrusted->last_cli = guest.regs->eip;
	guest.regs->eflags &= ~EFLAGS_IF;
	guest.regs->eip++;
}

static void emulate_popf(void)
{
	struct registers *regs = guest.regs;
	u32 flags;

	if (!guest_load(&flags, segment_base(regs->ss) + regs->esp, 4)) {
		native_reflect_page_fault(guest_fault.address, guest_fault.error);
		return;
	}
	regs->esp += 4;
	regs->eip++;
	regs->eflags = (flags & POPPED) | EFLAGS_FIXED;
	if (flag_was_clear || (flags & EFLAGS_TF))
		watching = false;
}

/* pushf must not show that the kernel is single-stepped. */
static bool emulate_pushf(void)
{
	struct registers *regs = guest.regs;
	u32 value = regs->eflags & ~(EFLAGS_VM | EFLAGS_RF | EFLAGS_TF);

	if (!guest_store(segment_base(regs->ss) + regs->esp - 4, &value, 4))
		return false;
	regs->esp -= 4;
	regs->eip++;
	return true;
}

/* A fault of one of the instructions that this is about. */
static bool is_ours(void)
{
	const struct registers *regs = guest.regs;
	const u8 *byte;

	if (regs->trapnum != TRAP_GENERAL || (regs->cs & RPL) != 1)
		return false;
	if (regs->cs != state->flat_cs)
		kernel_code_changed();
	byte = kernel_byte(regs->eip);
	if (regs->errcode && byte && *byte != INSTEAD_OF_POPF)
		return false;
	switch (byte ? *byte : 0) {
	case CLI:
		meet_cli();
		emulate_cli();
		return true;
	case INSTEAD_OF_CLI:
		emulate_cli();
		return true;
	case INSTEAD_OF_POPF:
		emulate_popf();
		return true;
	default:
		return false;
	}
}

/* Single-step the next instruction, unless the watch is over. */
static void step(void)
{
	struct registers *regs = guest.regs;
	const u8 *byte;

	while (watching) {
		if (regs->cs != state->flat_cs || (regs->eflags & EFLAGS_IF) || guest.halted || !steps_left) {
			watching = false;
			return;
		}
		follow(regs->eip);
		replace(regs->eip, POPF, INSTEAD_OF_POPF); /* follow() may have had no room to remember this way */
		byte = kernel_byte(regs->eip);
		if (byte && watched_cli && (*byte == RET || *byte == RET_AND_DROP))
			note_return();
		steps_left--;
		if (byte && *byte == INSTEAD_OF_POPF) {
			emulate_popf();
		} else if (!byte || *byte != PUSHF || !emulate_pushf()) {
			regs->eflags |= EFLAGS_TF;
			return;
		}
	}
}

/* Has an interrupt been pending for long while the kernel's flag is clear? */
static bool is_overdue(void)
{
	const struct registers *regs = guest.regs;

	if ((regs->cs & RPL) != 1 || (regs->eflags & EFLAGS_IF) || !irq_pending()) {
		waits = 0;
		patience = PATIENCE;
	} else {
		waits++;
	}
	return waits > patience;
}

/* The cli that cleared the flag will be watched again. */
static void watch_again(void)
{
	traps = waits = 0;
	replace(untrusted->last_cli, INSTEAD_OF_CLI, CLI);
	distrust = true;
}

/* Is this the trap after a step?  What else caused it is left to the kernel. */
static bool stepped(void)
{
	u32 cause;

	if (guest.regs->trapnum != TRAP_DEBUG)
		return false;
	cause = debug_cause();
	if (!(cause & DR6_BREAKPOINTS))
		return true;
	debug_raised(cause & DR6_BREAKPOINTS);
	return false;
}

static void popf_trap(void)
{
	struct registers *regs = guest.regs;
	bool stepping = watching && !native.stepping; /* a step of step.c comes first */

	if (stepping)
		regs->eflags &= ~EFLAGS_TF;
	if (native.page_unprotected && unprotected_page_trap(regs->trapnum, regs->errcode))
		return; /* the instruction runs again */
	if (!(stepping && stepped()) && !is_ours())
		plain_trap();
	if (native.stepping)
		return;
	if (is_overdue()) {
		patience *= 4; /* a kernel may have a reason, and a watch is slow */
		watch_again();
		watch();
	} else if (!watching && ++traps > AGAIN) {
		watch_again();
	}
	step();
}

void popf_init(void)
{
	if (!machine.sets_flag_by_popf)
		return;
	plain_trap = personality.trap;
	personality.trap = popf_trap;
	native.fast_popf = FAST_POPF;
	native.kernel_cs_mask = 0;
}
