/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arithmetic of an emulated instruction.  Source: Intel SDM vol. 1, appendix A (flags).  Read before: mmio.c. */
#include "host_kernel/pci/arithmetic.h"
#include "host_kernel/base/guest.h"
#include "host_kernel/instruction/instruction.h"

#define CARRY    0x1u
#define PARITY   0x4u
#define ADJUST   0x10u
#define ZERO     0x40u
#define SIGN     0x80u
#define OVERFLOW 0x800u

static u32 is_even(u32 value)
{
	value ^= value >> 4;
	return !(0x6996 >> (value & 0xF) & 1);
}

/* Operands of 1, 2 or 4 bytes.  Sets the Guest's flags. */
u32 arithmetic(u32 operation, u32 a, u32 b, u32 size)
{
	u32 mask = mask_of(size), top = 1u << (size * 8 - 1), flags = 0, result;
	u64 wide, carry = operation == 2 || operation == 3 ? guest.regs->eflags & CARRY : 0;

	a &= mask;
	b &= mask;
	switch (operation) {
	case 0:
	case 2:
		wide = (u64)a + b + carry;
		flags |= (a ^ wide) & (b ^ wide) & top ? OVERFLOW : 0;
		break;
	case 1:
		wide = a | b;
		break;
	case 4:
	case OPERATION_TEST:
		wide = a & b;
		break;
	case 6:
		wide = a ^ b;
		break;
	default:
		wide = (u64)a - b - carry;
		flags |= (a ^ b) & (a ^ wide) & top ? OVERFLOW : 0;
	}
	result = wide & mask;
	if (operation == 0 || operation == 2 || operation == 3 || operation == 5 || operation == OPERATION_CMP)
		flags |= (wide >> size * 8 & 1 ? CARRY : 0) | ((a ^ b ^ result) & ADJUST);
	flags |= (result ? 0 : ZERO) | (result & top ? SIGN : 0) | (is_even(result & 0xFF) ? PARITY : 0);
	guest.regs->eflags &= ~(CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW);
	guest.regs->eflags |= flags;
	return result;
}
