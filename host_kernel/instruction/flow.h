/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The length of any instruction of 32-bit code, and where control goes after it.  Read next: flow.c. */
#ifndef HOST_KERNEL_INSTRUCTION_FLOW_H
#define HOST_KERNEL_INSTRUCTION_FLOW_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

enum flow_kind {
	FLOW_NEXT,   /* to the next instruction; also after a call through a pointer */
	FLOW_BRANCH, /* there, or to the target */
	FLOW_CALL,   /* to the target, and it returns */
	FLOW_JUMP,   /* to the target only */
	FLOW_STOP,   /* to where the instruction's bytes do not say, or nowhere */
};

struct flow {
	enum flow_kind kind;
	u32 length;
	u32 target;   /* relative to the instruction's own address */
	bool is_bare; /* one byte, without prefixes and operands */
};

bool flow_of(const u8 *bytes, u32 have, struct flow *flow);

#endif
