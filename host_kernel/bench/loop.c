/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel's run loop under another name, so that it is part of what is measured; and write access to the IDT that
 * the Host kernel uses.
 * Read next: run.c.
 */
#define run run_loop
#include "host_kernel/core/run.c"
#undef run
#include "host_kernel/bench/bench.h"
#include "host_kernel/machine/tables.h"

u64 *host_gates(void)
{
	return is_lean() ? state->idt : (u64 *)state->host_idt.base;
}

void set_host_gate(u32 vector, u32 address)
{
	host_gates()[vector] = gate_to(address, 0);
}
