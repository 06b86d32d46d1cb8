/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction of the Guest, decoded to be emulated.  32-bit code only.  Read next: decode.c.
 * Next in the book: decode.c.
 */
#ifndef HOST_KERNEL_INSTRUCTION_INSTRUCTION_H
#define HOST_KERNEL_INSTRUCTION_INSTRUCTION_H
#include <stdbool.h>
#include "host_kernel/base/cpu.h"
#include "switcher/layouts/types.h"

/* The low bytes of a word: size is 1, 2 or 4. */
static inline u32 mask_of(u32 size)
{
	return size == 4 ? ~0u : (1u << size * 8) - 1;
}

struct instruction {
	u8 bytes[16];
	u32 have;       /* how many of them are valid: the next page may not be mapped */
	u32 next;       /* how many were decoded; at the end, the length */
	u32 size;       /* of its operand: 2 or 4 */
	bool repeat;
	u32 segment;    /* the selector of a segment override, or 0 */
	u8 opcode;      /* after 0x0F, if two_bytes */
	bool two_bytes;
	u8 modrm;       /* if the opcode has one */
	bool faulted;   /* an access to the memory operand faulted: guest_fault */
	u32 address;    /* linear, of a memory operand */
};
bool decode(struct instruction *instruction);
bool peek_byte(struct instruction *instruction, u8 *byte);
bool next_byte(struct instruction *instruction, u8 *byte);
bool next_word(struct instruction *instruction, u32 *word, u32 size);
bool decode_modrm(struct instruction *instruction);
u32 *general_register(u32 number);
#define MODRM_REG(modrm) ((modrm) >> 3 & 7)
#define MODRM_RM(modrm) ((modrm) & 7)
#define MODRM_IS_REGISTER(modrm) ((modrm) >= 0xC0)

#endif
