/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An instruction that accesses a BAR: such a page is never mapped, so the access faults and is emulated here.  These are
 * the instructions that compilers and kernels use for I/O memory: mov in all its forms, movzx, movsx, the string moves,
 * test, cmp, and arithmetic on a memory operand.  Source: Intel SDM vol. 2.  Read before: physical.c.
 * Next in the book: switcher/layouts/lguest_pages.h.
 */
#include "host_kernel/pci/pci.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/print.h"
#include "host_kernel/instruction/instruction.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/pci/arithmetic.h"

#define DIRECTION 0x400u
#define SHOWN     8u    /* bytes of an instruction, in the reason of a death */
#define AT_ONCE   1024u /* units of a string instruction; then it is started again where it is */

enum outcome {
	DONE,
	AGAIN,   /* done in part: eip stays */
	FAULTED, /* guest_fault */
	UNKNOWN, /* not one of these instructions, or its operand is not where the fault was */
};

/* A byte register: numbers from 4 on are the second bytes of the first four. */
static u32 get_register(u32 number, u32 size)
{
	if (size == 1 && number >= 4)
		return *general_register(number - 4) >> 8 & 0xFF;
	return *general_register(number) & mask_of(size);
}

static void set_register(u32 number, u32 size, u32 value)
{
	u32 shift = size == 1 && number >= 4 ? 8 : 0, mask = mask_of(size) << shift;
	u32 *place = general_register(shift ? number - 4 : number);

	*place = (*place & ~mask) | (value << shift & mask);
}

static bool covers(u32 operand, u32 size, u32 address)
{
	return address - operand < size;
}

/* movs, stos and lods: one unit or ecx of them. */
static enum outcome string(const struct instruction *instruction, u32 address, u32 size)
{
	struct registers *regs = guest.regs;
	u32 step = regs->eflags & DIRECTION ? -size : size, value = regs->eax;
	u32 source = personality.segment_base(instruction->segment ? instruction->segment : regs->ds);
	u32 destination = personality.segment_base(regs->es);
	bool loads = (instruction->opcode & ~1u) != 0xAA, stores = (instruction->opcode & ~1u) != 0xAC;
	u32 units = instruction->repeat ? regs->ecx : 1;

	if (!(loads && covers(source + regs->esi, size, address)) && !(stores && covers(destination + regs->edi, size, address)))
		return UNKNOWN;
	for (u32 done = 0; done < units; done++) {
		if (done == AT_ONCE)
			return AGAIN;
		if (loads && !io_load(source + regs->esi, size, &value))
			return FAULTED;
		if (stores && !io_store(destination + regs->edi, size, value))
			return FAULTED;
		if (!stores)
			set_register(0, size, value);
		regs->esi += loads ? step : 0;
		regs->edi += stores ? step : 0;
		regs->ecx -= instruction->repeat;
	}
	return DONE;
}

/* mov between al or eax and an address in the instruction. */
static enum outcome move_direct(struct instruction *instruction, u32 address, u32 size)
{
	u32 operand, value = guest.regs->eax;

	if (!next_word(instruction, &operand, 4))
		return UNKNOWN;
	if (instruction->segment)
		operand += personality.segment_base(instruction->segment);
	if (!covers(operand, size, address))
		return UNKNOWN;
	if (instruction->opcode & 2)
		return io_store(operand, size, value) ? DONE : FAULTED;
	if (!io_load(operand, size, &value))
		return FAULTED;
	set_register(0, size, value);
	return DONE;
}

/* movzx and movsx: from a byte or two. */
static enum outcome extend(const struct instruction *instruction)
{
	u32 size = instruction->opcode & 1 ? 2 : 1, value;

	if (!io_load(instruction->address, size, &value))
		return FAULTED;
	value &= mask_of(size);
	if (instruction->opcode >= 0xBE)
		value = size == 1 ? (u32)(s32)(signed char)value : (u32)(s32)(short)value;
	set_register(MODRM_REG(instruction->modrm), instruction->size, value);
	return DONE;
}

/* memory = memory OP value; cmp and test only set the flags. */
static enum outcome modify(const struct instruction *instruction, u32 size, u32 operation, u32 value)
{
	u32 flags = guest.regs->eflags, old, new;

	if (!io_load(instruction->address, size, &old))
		return FAULTED;
	new = arithmetic(operation, old, value, size);
	if (operation == OPERATION_CMP || operation == OPERATION_TEST)
		return DONE;
	if (io_store(instruction->address, size, new))
		return DONE;
	guest.regs->eflags = flags;
	return FAULTED;
}

/* register = register OP memory. */
static enum outcome combine(const struct instruction *instruction, u32 size, u32 operation)
{
	u32 number = MODRM_REG(instruction->modrm), value, new;

	if (!io_load(instruction->address, size, &value))
		return FAULTED;
	new = arithmetic(operation, get_register(number, size), value, size);
	if (operation != OPERATION_CMP)
		set_register(number, size, new);
	return DONE;
}

static enum outcome with_immediate(struct instruction *instruction, u32 size)
{
	u8 opcode = instruction->opcode;
	u32 immediate, value, operation = MODRM_REG(instruction->modrm);

	if (!next_word(instruction, &immediate, opcode == 0x83 ? 1 : size))
		return UNKNOWN;
	value = immediate & mask_of(size);
	if (opcode < 0x84)
		return modify(instruction, size, operation, value);
	if (opcode >= 0xF6)
		return operation < 2 ? modify(instruction, size, OPERATION_TEST, value) : UNKNOWN;
	if (operation)
		return UNKNOWN;
	return io_store(instruction->address, size, value) ? DONE : FAULTED;
}

/* Opcodes of one byte with a memory operand. */
static enum outcome with_operand(struct instruction *instruction, u32 size)
{
	u32 number = MODRM_REG(instruction->modrm), value;

	switch (instruction->opcode) {
	case 0x88 ... 0x89:
		return io_store(instruction->address, size, get_register(number, size)) ? DONE : FAULTED;
	case 0x8A ... 0x8B:
		if (!io_load(instruction->address, size, &value))
			return FAULTED;
		set_register(number, size, value);
		return DONE;
	case 0x80 ... 0x81:
	case 0x83:
	case 0xC6 ... 0xC7:
	case 0xF6 ... 0xF7:
		return with_immediate(instruction, size);
	case 0x84 ... 0x85:
		return modify(instruction, size, OPERATION_TEST, get_register(number, size));
	case 0x86 ... 0x87: /* xchg */
		if (!io_load(instruction->address, size, &value) ||
		    !io_store(instruction->address, size, get_register(number, size)))
			return FAULTED;
		set_register(number, size, value);
		return DONE;
	default: /* the eight operations, each with four forms that have a memory operand */
		if (instruction->opcode >= 0x40 || (instruction->opcode & 4))
			return UNKNOWN;
		if (instruction->opcode & 2)
			return combine(instruction, size, instruction->opcode >> 3);
		return modify(instruction, size, instruction->opcode >> 3, get_register(number, size));
	}
}

static enum outcome emulate(struct instruction *instruction, u32 address)
{
	u32 size, length;

	if (!decode(instruction))
		return UNKNOWN;
	size = instruction->opcode & 1 ? instruction->size : 1;
	if (!instruction->two_bytes) {
		switch (instruction->opcode) {
		case 0xA0 ... 0xA3:
			return move_direct(instruction, address, size);
		case 0xA4 ... 0xA5:
		case 0xAA ... 0xAD:
			return string(instruction, address, size);
		default:
			break;
		}
	} else if ((instruction->opcode & 0xF6) != 0xB6) {
		return UNKNOWN;
	}
	if (!decode_modrm(instruction) || MODRM_IS_REGISTER(instruction->modrm))
		return UNKNOWN;
	length = instruction->two_bytes ? size = instruction->opcode & 1 ? 2 : 1 : size;
	if (!covers(instruction->address, length, address))
		return UNKNOWN;
	return instruction->two_bytes ? extend(instruction) : with_operand(instruction, size);
}

static void __attribute__((noreturn)) kill(const struct instruction *instruction, u32 address)
{
	char bytes[3 * SHOWN + 1] = "";
	u32 eip = guest.regs->eip;

	for (u32 at = 0; at < instruction->have && at < SHOWN; at++)
		format(bytes + 3 * at, 4, " %02x", instruction->bytes[at]);
	if (!instruction->have)
		kill_guest("the Guest executes I/O memory at %#x", eip);
	kill_guest("the instruction at %#x, bytes%s, cannot access I/O memory (%#x)", eip, bytes, address);
}

/*
 * A page fault at address, where the Guest's page tables lead to a BAR.  flat: its code segment is flat and has 32 bits.
 * Returns IO_DONE or the exception to inject.  A program gets a general protection fault for what cannot be emulated,
 * since a page fault would be retried; a kernel dies.
 */
u32 io_memory_access(u32 address, bool flat)
{
	struct instruction instruction = { .have = 0 };
	enum outcome outcome = flat ? emulate(&instruction, address) : UNKNOWN;

	if (outcome == FAULTED)
		return TRAP_PAGE_FAULT;
	if (outcome == UNKNOWN) {
		if ((guest.regs->cs & 3) != 3)
			kill(&instruction, address);
		return TRAP_GENERAL;
	}
	if (outcome == DONE)
		guest.regs->eip += instruction.next;
	guest.regs->eflags &= ~EFLAGS_RF;
	return guest.regs->eflags & EFLAGS_TF ? TRAP_DEBUG : IO_DONE;
}
