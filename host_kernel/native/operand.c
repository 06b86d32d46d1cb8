/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory operand of an emulated instruction: where the Guest may not have it, the instruction page-faults. */
#include "host_kernel/native/native.h"
#include "host_kernel/memory/guest_virtual.h"

/* A memory operand.  False: the instruction is not done, and ends in the page fault. */
bool operand_read(struct instruction *instruction, void *to, u32 address, u32 count)
{
	instruction->faulted = !guest_load(to, address, count);
	return !instruction->faulted;
}

bool operand_write(struct instruction *instruction, u32 address, const void *from, u32 count)
{
	instruction->faulted = !guest_store(address, from, count);
	return !instruction->faulted;
}
