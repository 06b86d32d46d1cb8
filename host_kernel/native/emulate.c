/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Emulation of an unmodified kernel's privileged instructions.  Those with two opcode bytes are in
 * system.c.  Source: Intel SDM vol. 2.  Read before: decode.c.
 * Next in the book: gdt.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/machine/world_switch.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/page_tables.h"
#include "host_kernel/pci/pci.h"

#define DIRECTION 0x400u
#define INT3  0xCC
#define INT_N 0xCD
#define INTO  0xCE

static u32 read_port(u16 port, u32 size)
{
	return is_pci_port(port, size) ? pci_in(port, size) : port_in(port, size);
}

static void write_port(u16 port, u32 value, u32 size)
{
	if (is_pci_port(port, size))
		pci_out(port, value, size);
	else
		port_out(port, value, size);
}

/* ins and outs, one unit or ecx of them. */
static bool string_io(struct instruction *instruction, bool in, u32 size)
{
	struct registers *regs = guest.regs;
	u32 step = regs->eflags & DIRECTION ? -size : size, value;
	u32 source = segment_base(instruction->segment ? instruction->segment : regs->ds);
	u32 times = instruction->repeat ? regs->ecx : 1;

	for (; times; times--) {
		if (in) {
			u32 to = segment_base(regs->es) + regs->edi;

			/* Check this before the read of the port, which has side effects. */
			instruction->faulted = !guest_may_write(to, size);
			if (instruction->faulted)
				return false;
			value = read_port(regs->edx, size);
			guest_store(to, &value, size);
			regs->edi += step;
		} else {
			value = 0;
			if (!operand_read(instruction, &value, source + regs->esi, size))
				return false;
			write_port(regs->edx, value, size);
			regs->esi += step;
		}
		if (instruction->repeat)
			regs->ecx--;
	}
	return true;
}

static void do_in(u16 port, u32 size)
{
	u32 mask = mask_of(size);

	guest.regs->eax = (guest.regs->eax & ~mask) | (read_port(port, size) & mask);
}

static bool input_output(struct instruction *instruction)
{
	struct registers *regs = guest.regs;
	u32 size = instruction->opcode & 1 ? instruction->size : 1;
	u8 port;

	switch (instruction->opcode & ~1u) {
	case 0x6C:
		return string_io(instruction, true, size);
	case 0x6E:
		return string_io(instruction, false, size);
	case 0xE4:
	case 0xE6:
		if (!next_byte(instruction, &port))
			return false;
		if (instruction->opcode < 0xE6)
			do_in(port, size);
		else
			write_port(port, regs->eax, size);
		return true;
	case 0xEC:
		do_in(regs->edx, size);
		return true;
	default:
		write_port(regs->edx, regs->eax, size);
		return true;
	}
}

/* A load of ss: its RPL must be 1, the real ring; the kernel uses 0. */
static bool load_stack_segment(u16 selector)
{
	gdt_sync();
	if (!loadable(selector & ~RPL, true, 1))
		return false;
	guest.regs->ss = (selector & ~RPL) | 1;
	return true;
}

static bool move_to_segment(struct instruction *instruction)
{
	u32 selector = 0;

	if (!decode_modrm(instruction) || MODRM_REG(instruction->modrm) != 2)
		return false;
	if (MODRM_IS_REGISTER(instruction->modrm))
		selector = *general_register(MODRM_RM(instruction->modrm));
	else if (!operand_read(instruction, &selector, instruction->address, 2))
		return false;
	return load_stack_segment(selector);
}

static bool pop_stack_segment(struct instruction *instruction)
{
	u32 selector;

	if (!operand_read(instruction, &selector, segment_base(guest.regs->ss) + guest.regs->esp, 4))
		return false;
	if (!load_stack_segment(selector))
		return false;
	guest.regs->esp += 4;
	return true;
}

/* sti, and an hlt right after it: no interrupt may arrive between the two. */
static void set_interrupt_flag(struct instruction *instruction)
{
	u8 next;

	guest.regs->eflags |= EFLAGS_IF;
	if (!(guest.regs->eflags & EFLAGS_TF) && peek_byte(instruction, &next) && next == HLT) {
		instruction->next++;
		guest.halted = true;
	}
}

/* int n, int3 and into of the kernel. */
static bool software_interrupt(struct instruction *instruction)
{
	u8 vector = TRAP_BREAKPOINT;

	if (instruction->opcode == INTO)
		vector = TRAP_OVERFLOW;
	else if (instruction->opcode == INT_N && !next_byte(instruction, &vector))
		return false;
	native_software_interrupt(vector, instruction->next);
	return true;
}

static bool is_prefix(u8 byte)
{
	return (byte & 0xE7) == 0x26 || (byte >= 0x64 && byte <= 0x67) || byte == 0xF0 || byte == 0xF2 || byte == 0xF3;
}

/* The opcode of a program's instruction without operands in memory, and its length so far, behind prefixes. */
static bool find_opcode(u8 *opcode, u32 *length)
{
	u32 start = guest.regs->eip + segment_base(guest.regs->cs);

	for (*length = 0; *length < LONGEST_INSTRUCTION;) {
		if (!guest_try_read(opcode, start + (*length)++, 1))
			return false;
		if (!is_prefix(*opcode))
			return true;
	}
	return false;
}

/*
 * A general protection fault in ring 3.  True: it was a software interrupt.  `int n` faults there, since the gates that the CPU
 * uses have DPL 0; the DPL of the Guest's gate decides.
 */
bool emulate_program_interrupt(u32 error)
{
	u32 length;
	u8 opcode;

	if ((error & 7) != ERROR_IDT || !gate_for_programs(error >> 3) || !find_opcode(&opcode, &length))
		return false;
	native_software_interrupt(error >> 3, length + (opcode == INT_N));
	return true;
}

/* lss: ss and esp together. */
static bool load_stack_pointer(struct instruction *instruction)
{
	u32 pointer, selector = 0;

	if (!decode_modrm(instruction) || MODRM_IS_REGISTER(instruction->modrm) ||
	    !operand_read(instruction, &pointer, instruction->address, 4) ||
	    !operand_read(instruction, &selector, instruction->address + 4, 2) ||
	    !load_stack_segment(selector))
		return false;
	*general_register(MODRM_REG(instruction->modrm)) = pointer;
	return true;
}

static bool one_byte(struct instruction *instruction, bool *moved)
{
	u32 drop;

	switch (instruction->opcode) {
	case 0xFA:
		guest.regs->eflags &= ~EFLAGS_IF;
		return true;
	case 0xFB:
		set_interrupt_flag(instruction);
		return true;
	case HLT:
		guest.halted = true;
		return true;
	case 0x8E:
		return move_to_segment(instruction);
	case 0x17:
		return pop_stack_segment(instruction);
	case 0xCF:
		*moved = true;
		return emulate_iret(instruction);
	case 0xCA:
		*moved = true;
		return next_word(instruction, &drop, 2) && emulate_far_return(instruction, drop);
	case 0xCB:
		*moved = true;
		return emulate_far_return(instruction, 0);
	case INT3 ... INTO:
		*moved = true;
		return software_interrupt(instruction);
	case 0x6C ... 0x6F:
	case 0xE4 ... 0xE7:
	case 0xEC ... 0xEF:
		return input_output(instruction);
	default:
		return false;
	}
}

#define RM_SIB  4 /* in a ModRM byte of a memory operand: a SIB byte follows, */
#define RM_WORD 5 /* or, without a displacement, an address */

/* A load of CR3, or invlpg of an address in a register. */
static bool flush(const u8 *text)
{
	struct registers *regs = guest.regs;

	if (text[1] == 0x22 && (text[2] & 0xF8) == 0xD8) {
		if (!write_control(3, *general_register(text[2])))
			return false;
	} else if (text[1] == 0x01 && (text[2] & 0xF8) == 0x38 && (text[2] & 7) != RM_SIB && (text[2] & 7) != RM_WORD) {
		flush_address(segment_base(regs->ds) + *general_register(text[2]));
	} else {
		return false;
	}
	regs->eip += 3;
	native.flushed = !(regs->eflags & SPECIAL_FLAGS) && !native.stepping && !native.page_unprotected;
	return true;
}

/* The most frequent ones without decode(): in and out without prefixes, and flushes. */
static bool frequent(void)
{
	struct registers *regs = guest.regs;
	const u8 *text = shadow_lookup(regs->eip, false);
	u32 size, port;

	if (!text || regs->eip % PAGE_BYTES > PAGE_BYTES - 3)
		return false;
	if ((*text & 0xF4) != 0xE4)
		return *text == 0x0F && flush(text);
	size = *text & 1 ? 4 : 1;
	port = *text & 8 ? regs->edx & 0xFFFF : text[1];
	regs->eip += *text & 8 ? 1 : 2;
	if (*text & 2)
		write_port(port, regs->eax, size);
	else if (size == 1)
		*(u8 *)&regs->eax = read_port(port, 1);
	else
		regs->eax = read_port(port, 4);
	native.port_accessed = true;
	return true;
}

static bool __attribute__((noinline)) emulate_decoded(void)
{
	struct instruction instruction;
	bool moved = false, done, step = guest.regs->eflags & EFLAGS_TF;

	if (!decode(&instruction))
		return false;
	if (!instruction.two_bytes)
		done = one_byte(&instruction, &moved);
	else if (instruction.opcode == 0xB2)
		done = load_stack_pointer(&instruction);
	else
		done = emulate_system(&instruction);
	if (done && !moved) {
		guest.regs->eip += instruction.next;
		if (step && instruction.next)
			inject_debug(DR6_STEP);
	}
	if (!done && instruction.faulted) {
		native_reflect_page_fault(guest_fault.address, guest_fault.error);
		return true;
	}
	return done;
}

/*
 * A fault in ring 1.  True: it was a privileged instruction and it was emulated, or its fault was injected.  False: the fault
 * belongs to the Guest.
 */
bool native_emulate(u32 error)
{
	return (!error && __builtin_expect(!(guest.regs->eflags & EFLAGS_TF), 1) && frequent()) || emulate_decoded();
}

/* The ports that in or out would use; false for other instructions, ins and outs among them. */
static bool ports_used(struct instruction *instruction, u16 *port, u32 *size)
{
	struct instruction ahead = *instruction;
	u8 byte;

	*size = instruction->opcode & 1 ? instruction->size : 1;
	*port = guest.regs->edx;
	if (instruction->two_bytes || (instruction->opcode & 0xF4) != 0xE4)
		return false;
	if (!(instruction->opcode & 8)) { /* the port follows the opcode */
		if (!next_byte(&ahead, &byte))
			return false;
		*port = byte;
	}
	return true;
}

/*
 * A general protection fault in ring 3.  True: it was in or out, at ports that the Guest's kernel allows to its programs
 * (ioperm, iopl), and it was emulated.  The TSS that the CPU uses allows no ports.
 */
bool emulate_program_io(u32 error)
{
	struct registers *regs = guest.regs;
	struct instruction instruction;
	u16 port;
	u32 size;

	if (error || native.stepping || !is_flat_code(regs->cs) || !decode(&instruction) ||
	    !ports_used(&instruction, &port, &size) || !tss_opens_ports(port, size) || !input_output(&instruction))
		return false;
	regs->eip += instruction.next;
	regs->eflags &= ~EFLAGS_RF;
	if (regs->eflags & EFLAGS_TF) /* a debugger steps through it */
		inject_debug(DR6_STEP);
	return true;
}
