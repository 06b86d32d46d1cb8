/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Emulation of the few privileged instructions that an lguest kernel still executes: port I/O without devices, `cli`,
 * accesses to debug registers, and `hlt`.  Source: Intel SDM vol. 2, opcode map.  Read before: traps.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/end.h"
#include "host_kernel/memory/guest_virtual.h"

#define LONGEST 4u /* prefix, two opcode bytes, ModRM or immediate */

/* `in` from a port without a device reads ones. */
static void all_ones(u32 bytes)
{
	u32 mask = bytes == 4 ? ~0u : (1u << bytes * 8) - 1;

	guest.regs->eax |= mask;
}

/* mov to (ignored) or from a debug register: ModRM names the general register in its low three bits. */
static void debug_register(u8 modrm, bool read)
{
	u32 *const general[8] = { &guest.regs->eax, &guest.regs->ecx, &guest.regs->edx, &guest.regs->ebx,
				  &guest.regs->esp, &guest.regs->ebp, &guest.regs->esi, &guest.regs->edi };
	u32 number = modrm >> 3 & 7;

	if (read)
		*general[modrm & 7] = number == 6 ? guest.dr6 : number == 7 ? DR7_RESET : 0;
	else if (number == 6)
		guest.dr6 = *general[modrm & 7];
}

/* A #GP with error code 0 in ring 1.  True: the instruction was emulated, and eip is after it. */
bool emulate(void)
{
	struct registers *regs = guest.regs;
	u8 code[LONGEST] = { 0 };
	u32 length = 0, size = 4;

	if ((regs->cs & 3) != 1)
		return false;
	for (u32 have = 0; have < LONGEST && guest_try_read(code + have, regs->eip + have, 1); have++)
		;
	if (code[0] == 0x66) {
		size = 2;
		length = 1;
	}
	switch (code[length++]) {
	case 0xE4: /* in al, imm8 */
		size = 1;
		__attribute__((fallthrough));
	case 0xE5:
		length++;
		all_ones(size);
		break;
	case 0xEC: /* in al, dx */
		size = 1;
		__attribute__((fallthrough));
	case 0xED:
		all_ones(size);
		break;
	case 0xE6: /* out imm8 */
	case 0xE7:
		length++;
		break;
	case 0xEE: /* out dx */
	case 0xEF:
		break;
	case 0xFA: /* cli: the Guest does not use the real flag */
		break;
	case 0xF4: /* hlt */
		if (!interrupts_flag())
			end_guest(END_HALTED, "the Guest executed hlt with interrupts off");
		guest.halted = true;
		break;
	case 0x0F:
		if (code[length] != 0x21 && code[length] != 0x23)
			return false;
		debug_register(code[length + 1], code[length] == 0x21);
		length += 2;
		break;
	default:
		return false;
	}
	regs->eip += length;
	return true;
}
