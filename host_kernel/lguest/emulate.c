/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Emulation of the few privileged instructions that an lguest kernel still executes: port I/O, where the only device is the
 * PCI bus, `cli`, accesses to debug registers, and `hlt`.  Source: Intel SDM vol. 2, opcode map.  Read before: traps.c.
 * Next in the book: host_kernel/memory/guest_physical.h.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/end.h"
#include "host_kernel/instruction/instruction.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/pci/pci.h"

/* `in` from a port without a device reads ones. */
static bool input_output(struct instruction *instruction)
{
	u32 size = instruction->opcode & 1 ? instruction->size : 1, mask = mask_of(size);
	u16 port = guest.regs->edx;
	u8 immediate;

	if (instruction->opcode < 0xE8) {
		if (!next_byte(instruction, &immediate))
			return false;
		port = immediate;
	}
	if (!(instruction->opcode & 2))
		guest.regs->eax = (guest.regs->eax & ~mask) | ((is_pci_port(port, size) ? pci_in(port, size) : ~0u) & mask);
	else if (is_pci_port(port, size))
		pci_out(port, guest.regs->eax, size);
	return true;
}

/* mov to or from a debug register: ModRM names the general register in its low three bits. */
static bool debug_register(struct instruction *instruction, bool read)
{
	u32 *general, number;
	u8 modrm;

	if (!next_byte(instruction, &modrm))
		return false;
	general = general_register(MODRM_RM(modrm));
	number = MODRM_REG(modrm);
	number += (number & 6) == 4 ? 2 : 0; /* DR4 and 5 are DR6 and 7 */
	if (read)
		*general = debug_register_read(number);
	else
		debug_register_write(number, *general);
	return true;
}

static bool one_byte(struct instruction *instruction)
{
	switch (instruction->opcode) {
	case 0xE4 ... 0xE7:
	case 0xEC ... 0xEF:
		return input_output(instruction);
	case 0xFA: /* cli: the Guest does not use the real flag */
		return true;
	case 0xF4: /* hlt */
		if (!interrupts_flag())
			end_guest(END_HALTED, "the Guest executed hlt with interrupts off");
		guest.halted = true;
		return true;
	default:
		return false;
	}
}

/* A #GP with error code 0 in ring 1.  True: the instruction was emulated, and eip is after it. */
bool __attribute__((noinline)) emulate(void)
{
	struct instruction instruction;
	bool done;

	if ((guest.regs->cs & 3) != 1 || !decode(&instruction))
		return false;
	if (!instruction.two_bytes)
		done = one_byte(&instruction);
	else
		done = (instruction.opcode | 2) == 0x23 && debug_register(&instruction, instruction.opcode == 0x21);
	if (done)
		guest.regs->eip += instruction.next;
	return done;
}
