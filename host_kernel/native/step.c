/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single-stepping: a store to a write-protected page runs alone with the page writable; then the tables are synced.
 * Read before: write_protect.c.  Read next: personality.c.
 * Next in the book: popf.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/memory/dirty.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/page_tables.h"
#include "host_kernel/memory/shadow.h"

void step_unprotect(bool open)
{
	for (u32 page = 0; page < native.stepping; page++)
		shadow_allow_write(native.step_pages[page], open);
}

/* The instruction has run: protect the page again, and sync the descriptor tables. */
void step_end(void)
{
	struct registers *regs = guest.regs;

	step_unprotect(false);
	native.stepping = 0;
	regs->eflags = (regs->eflags & ~(EFLAGS_TF | EFLAGS_IF)) | native.step_flags;
	absent_page_restore();
	descriptor_tables_sync();
}

/*
 * The Guest writes to a write-protected page (its GDT's), or where there is no memory: run that instruction with interrupts
 * off and the page writable.  This needs no decoder for all kinds of stores.
 */
static void step_begin(u32 address)
{
	struct registers *regs = guest.regs;

	if (native.stepping == 2)
		step_end();
	if (!native.stepping)
		native.step_flags = regs->eflags & (EFLAGS_TF | EFLAGS_IF);
	native.step_pages[native.stepping++] = address;
	regs->eflags = (regs->eflags & ~EFLAGS_IF) | EFLAGS_TF;
	step_unprotect(true);
}

/* pushf must not show the flags of the step. */
static bool emulate_pushf(struct instruction *instruction, u32 address)
{
	struct registers *regs = guest.regs;
	u32 value = regs->eflags & ~(EFLAGS_VM | EFLAGS_RF), at = regs->esp - instruction->size;
	u32 linear = segment_base(regs->ss) + at;

	if (address - linear >= instruction->size || !guest_try_write(linear, &value, instruction->size))
		return false;
	regs->esp = at;
	regs->eip += instruction->next;
	descriptor_tables_sync();
	return true;
}

/*
 * The plain stores by which Linux changes descriptors: emulation is cheaper than a step.  A change of tasks stores the
 * halves of three, with loads of the next between them, and all of these instructions are emulated in one trap.
 */
#define RUN 10u /* instructions */
static bool emulate_store(u32 address, u32 frame)
{
	struct registers *regs = guest.regs;
	struct instruction instruction;
	u32 done = 0, page = address & ~(PAGE_BYTES - 1); /* the Guest may write to this one */
	u8 *memory = frame < FRAME(guest.limit) ? (u8 *)(machine.guest_base + (frame << 12)) : NULL;
	u32 first = PAGE_BYTES, last = 0; /* what was stored to, in the page */

	for (u32 most = regs->eflags & EFLAGS_TF ? 1 : RUN; done < most; done++) {
		u32 *value, place;

		if (!decode(&instruction) || instruction.two_bytes)
			break;
		if (instruction.opcode == 0x9C && !done)
			return emulate_pushf(&instruction, address);
		if (instruction.size != 4 || (instruction.opcode != 0x89 && instruction.opcode != 0x8B) ||
		    !decode_modrm(&instruction) || MODRM_IS_REGISTER(instruction.modrm))
			break;
		value = general_register(MODRM_REG(instruction.modrm));
		if (instruction.opcode == 0x89) {
			if (!done && instruction.address != address)
				break;
			place = instruction.address - page;
			if (place > PAGE_BYTES - 4 || !memory)
				break;
			*(u32 *)(memory + place) = *value;
			mark_dirty(frame);
			first = place < first ? place : first;
			last = place + 3 > last ? place + 3 : last;
		} else if (!done || (regs->cs & RPL) == 3 || !guest_try_read(value, instruction.address, 4)) {
			break;
		}
		regs->eip += instruction.next;
	}
	if (done)
		descriptors_changed(page, frame, first, last);
	return done;
}

/* A store to a write-protected page, or where there is no memory. */
void step_store(u32 address, u32 frame)
{
	if (is_write_protected(frame) && unprotect_busy_page(address, frame)) {
		if (native.stepping)
			step_end();
		return;
	}
	if (!emulate_store(address, frame))
		step_begin(address);
	else if ((guest.regs->eflags & EFLAGS_TF) && !native.stepping)
		inject_debug(DR6_STEP);
}

void native_reflect_page_fault(u32 address, u32 error)
{
	mailbox->faults_reflected++;
	if (native.stepping)
		step_end();
	native_page_fault(address, error);
}
