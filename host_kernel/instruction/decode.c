/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decode one instruction: prefixes, opcode, and if there is one the ModRM byte with its address.
 * 32-bit code in a flat segment only, and no 16-bit addresses.  Source: Intel SDM vol. 2, 2.1.
 * Read next: host_kernel/native/emulate.c, host_kernel/lguest/emulate.c, host_kernel/pci/mmio.c.
 * Next in the book: host_kernel/lguest/emulate.c.
 */
#include <stddef.h>
#include "host_kernel/instruction/instruction.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/memory/guest_virtual.h"

static void fetch(struct instruction *instruction)
{
	u32 eip = guest.regs->eip, here = PAGE_BYTES - eip % PAGE_BYTES;
	const u8 *text = here < sizeof(instruction->bytes) ? NULL : shadow_lookup(eip, false);

	if (text) { /* mostly */
		__builtin_memcpy(instruction->bytes, text, sizeof(instruction->bytes));
		instruction->have = LONGEST_INSTRUCTION;
		return;
	}
	if (here > LONGEST_INSTRUCTION)
		here = LONGEST_INSTRUCTION;
	if (!guest_try_read(instruction->bytes, eip, here))
		return;
	instruction->have = here;
	if (here < LONGEST_INSTRUCTION && guest_try_read(instruction->bytes + here, eip + here, LONGEST_INSTRUCTION - here))
		instruction->have = LONGEST_INSTRUCTION;
}

bool peek_byte(struct instruction *instruction, u8 *byte)
{
	*byte = instruction->bytes[instruction->next];
	return instruction->next < instruction->have;
}

bool next_byte(struct instruction *instruction, u8 *byte)
{
	if (!peek_byte(instruction, byte))
		return false;
	instruction->next++;
	return true;
}

/* An immediate or displacement of 1, 2 or 4 bytes; one byte is sign-extended. */
bool next_word(struct instruction *instruction, u32 *word, u32 size)
{
	u8 byte;

	if (size == 4 && instruction->next + 4 <= instruction->have) {
		__builtin_memcpy(word, instruction->bytes + instruction->next, 4);
		instruction->next += 4;
		return true;
	}
	*word = 0;
	for (u32 index = 0; index < size; index++) {
		if (!next_byte(instruction, &byte))
			return false;
		*word |= (u32)byte << index * 8;
	}
	if (size == 1)
		*word = (u32)(s32)(signed char)*word;
	return true;
}

u32 *general_register(u32 number)
{
	static const u8 places[8] = {
		offsetof(struct registers, eax), offsetof(struct registers, ecx), offsetof(struct registers, edx),
		offsetof(struct registers, ebx), offsetof(struct registers, esp), offsetof(struct registers, ebp),
		offsetof(struct registers, esi), offsetof(struct registers, edi),
	};

	return (u32 *)((u8 *)guest.regs + places[number & 7]);
}

/* Software interrupts, to which an address-size prefix makes no difference. */
static bool has_no_address(u8 opcode)
{
	return opcode >= 0xCC && opcode <= 0xCE;
}

bool decode(struct instruction *instruction)
{
	struct registers *regs = guest.regs;
	bool address_16 = false;
	u8 byte;

	/* Not a compound literal: that would clear the bytes too. */
	instruction->size = 4;
	instruction->have = instruction->next = instruction->segment = instruction->address = 0;
	instruction->repeat = instruction->two_bytes = instruction->faulted = false;
	instruction->opcode = instruction->modrm = 0;
	fetch(instruction);
	while (next_byte(instruction, &byte)) {
		switch (byte) {
		case 0x66:
			instruction->size = 2;
			break;
		case 0xF2:
		case 0xF3:
			instruction->repeat = true;
			break;
		case 0xF0:
			break;
		case 0x67:
			address_16 = true;
			break;
		case 0x26:
			instruction->segment = regs->es;
			break;
		case 0x2E:
			instruction->segment = regs->cs;
			break;
		case 0x36:
			instruction->segment = regs->ss;
			break;
		case 0x3E:
			instruction->segment = regs->ds;
			break;
		case 0x64:
			instruction->segment = regs->fs;
			break;
		case 0x65:
			instruction->segment = regs->gs;
			break;
		case 0x0F:
			instruction->two_bytes = true;
			return !address_16 && next_byte(instruction, &instruction->opcode);
		default:
			instruction->opcode = byte;
			return !address_16 || has_no_address(byte);
		}
	}
	return false;
}

/* The ModRM byte, and the address of its memory operand. */
bool decode_modrm(struct instruction *instruction)
{
	u32 base = 0, displacement = 0, mode, rm;
	u8 sib;

	if (!next_byte(instruction, &instruction->modrm))
		return false;
	mode = instruction->modrm >> 6;
	rm = MODRM_RM(instruction->modrm);
	if (mode == 3)
		return true;
	if (rm == 4) {
		if (!next_byte(instruction, &sib))
			return false;
		if (MODRM_REG(sib) != 4)
			base = *general_register(MODRM_REG(sib)) << (sib >> 6);
		rm = MODRM_RM(sib);
	}
	if (mode == 0 && rm == 5)
		mode = 2; /* no base, a 32-bit displacement */
	else
		base += *general_register(rm);
	if (mode && !next_word(instruction, &displacement, mode == 1 ? 1 : 4))
		return false;
	instruction->address = base + displacement;
	if (instruction->segment)
		instruction->address += personality.segment_base(instruction->segment);
	return true;
}
