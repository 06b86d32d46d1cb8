/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory operand of an emulated instruction: an access that the Guest's page tables deny is a page fault. */
#include "host_kernel/native/native.h"
#include "host_kernel/memory/guest_virtual.h"

/* False: the instruction must end in the page fault guest_fault. */
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
