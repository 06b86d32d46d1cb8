/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emulation of privileged instructions with two opcode bytes: table, control and model-specific registers. */
#include "host_kernel/native/native.h"
#include "host_kernel/memory/page_tables.h"

static bool operand(struct instruction *instruction, u32 *value)
{
	*value = 0;
	if (MODRM_IS_REGISTER(instruction->modrm))
		*value = *general_register(MODRM_RM(instruction->modrm)) & 0xFFFF;
	else
		return operand_read(instruction, value, instruction->address, 2);
	return true;
}

static bool store(struct instruction *instruction, u32 value)
{
	if (!MODRM_IS_REGISTER(instruction->modrm))
		return operand_write(instruction, instruction->address, &value, 2);
	*general_register(MODRM_RM(instruction->modrm)) = value;
	return true;
}

/* 0F 00: sldt, str, lldt, ltr. */
static bool group_6(struct instruction *instruction)
{
	u32 value;

	if (!decode_modrm(instruction))
		return false;
	switch (MODRM_REG(instruction->modrm)) {
	case 0:
		return store(instruction, native.ldt_selector);
	case 1:
		return store(instruction, native.tss_selector);
	case 2:
		if (!operand(instruction, &value))
			return false;
		ldt_load(value);
		descriptor_tables_sync();
		return true;
	case 3:
		if (!operand(instruction, &value))
			return false;
		tss_load(value);
		return true;
	default:
		return false;
	}
}

/* sgdt and sidt, which fault with UMIP. */
static bool store_table(struct instruction *instruction, u32 base, u32 limit)
{
	u16 words[3] = { limit, base, base >> 16 };

	return operand_write(instruction, instruction->address, words, sizeof(words));
}

/* On a fault nothing is changed. */
static bool load_table(struct instruction *instruction, u32 *base, u32 *limit)
{
	u16 words[3];

	if (!operand_read(instruction, words, instruction->address, sizeof(words)))
		return false;
	*limit = words[0];
	*base = words[1] | (u32)words[2] << 16;
	return true;
}

/* 0F 01: sgdt, sidt, lgdt, lidt, smsw, lmsw, invlpg. */
static bool group_7(struct instruction *instruction)
{
	u32 value, base;

	if (!decode_modrm(instruction))
		return false;
	if (MODRM_IS_REGISTER(instruction->modrm) && MODRM_REG(instruction->modrm) != 4 && MODRM_REG(instruction->modrm) != 6)
		return false;
	switch (MODRM_REG(instruction->modrm)) {
	case 0:
		return store_table(instruction, native.gdt_base, native.gdt_limit);
	case 1:
		return store_table(instruction, native.idt_base, native.idt_limit);
	case 2:
		if (!load_table(instruction, &base, &value))
			return false;
		gdt_load(base, value);
		descriptor_tables_loaded();
		return true;
	case 3:
		if (!load_table(instruction, &native.idt_base, &native.idt_limit))
			return false;
		native.idt_loaded = true;
		descriptor_tables_loaded();
		return true;
	case 4:
		return store(instruction, native.cr0);
	case 6:
		return operand(instruction, &value) && write_control(0, (native.cr0 & ~0xEu) | (value & 0xF));
	case 7:
		flush_address(instruction->address);
		return true;
	default:
		return false;
	}
}

static bool control_register(struct instruction *instruction, bool write)
{
	u32 *general, number;

	if (!next_byte(instruction, &instruction->modrm))
		return false;
	general = general_register(MODRM_RM(instruction->modrm));
	number = MODRM_REG(instruction->modrm);
	if (write)
		return write_control(number, *general);
	if (number == 1 || number > 4)
		return false;
	*general = read_control(number);
	return true;
}

bool emulate_system(struct instruction *instruction)
{
	struct registers *regs = guest.regs;

	switch (instruction->opcode) {
	case 0x00:
		return group_6(instruction);
	case 0x01:
		return group_7(instruction);
	case 0x06: /* clts */
		return write_control(0, native.cr0 & ~CR0_TS);
	case 0x08: /* invd, wbinvd: no effect that a Guest could see */
	case 0x09:
		return true;
	case 0x20:
	case 0x22:
		return control_register(instruction, instruction->opcode == 0x22);
	case 0x21:
	case 0x23:
		return emulate_debug_register(instruction, instruction->opcode == 0x23);
	case 0x30:
		return write_msr(regs->ecx, regs->eax, regs->edx);
	case 0x32:
		return read_msr(regs->ecx, &regs->eax, &regs->edx);
	default:
		return false;
	}
}
