/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A trace of the instructions in ring 0, across world switches: by a debug trap after each instruction, whose handler is
 * mapped in both worlds (common.S).  Counted are the instructions that load CR3, a segment register, or one of GDTR, IDTR,
 * LDTR and TR; the two segments that int and iret load are not.  Source: Intel SDM vol. 2.
 * Read next: lguest_py/bench/micro.py.
 */
#include "host_kernel/bench/bench.h"
#include "host_kernel/base/end.h"
#include "host_kernel/machine/tables.h"

#define REG(modrm) ((modrm) >> 3 & 7)
#define IS_MEMORY(modrm) ((modrm) < 0xC0)

static u64 hypercall_gate, debug_gate, host_debug_gate;

/* The trace starts when this returns; ring 1 is not traced. */
void trace_begin(void)
{
	hypercall_gate = state->idt[HYPERCALL_VECTOR];
	debug_gate = state->idt[DEBUG_VECTOR];
	host_debug_gate = host_gates()[DEBUG_VECTOR];
	*(u32 *)BENCH_ORIGINAL = (u32)(hypercall_gate >> 32 & 0xFFFF0000) | (hypercall_gate & 0xFFFF);
	*(u32 *)BENCH_WORDS = 0;
	state->idt[HYPERCALL_VECTOR] = gate_to(in_common(common_call), 1);
	state->idt[DEBUG_VECTOR] = gate_to(in_common(common_step), 0);
	host_gates()[DEBUG_VECTOR] = gate_to(in_common(common_step), 0);
	__asm__ volatile("pushfl; orl %0, (%%esp); popfl" : : "i"(EFLAGS_TF) : "memory", "cc");
}

static void count(struct loads *loads, const u8 *at)
{
	u8 opcode, modrm;

	for (;; at++) {
		opcode = *at;
		if (opcode != 0x26 && opcode != 0x2E && opcode != 0x36 && opcode != 0x3E && !(opcode >= 0x64 && opcode <= 0x67) &&
		    opcode != 0xF0 && opcode != 0xF2 && opcode != 0xF3)
			break;
	}
	modrm = at[1];
	switch (opcode) {
	case 0x07: /* pop es, ss, ds */
	case 0x17:
	case 0x1F:
	case 0x8E: /* mov to a segment register */
		loads->segments++;
		return;
	case 0xC4: /* les, lds */
	case 0xC5:
		loads->segments += IS_MEMORY(modrm);
		return;
	case 0x0F:
		break;
	default:
		return;
	}
	opcode = at[1];
	modrm = at[2];
	switch (opcode) {
	case 0x00: /* lldt, ltr */
		loads->tables += REG(modrm) == 2 || REG(modrm) == 3;
		return;
	case 0x01: /* lgdt, lidt */
		loads->tables += IS_MEMORY(modrm) && (REG(modrm) == 2 || REG(modrm) == 3);
		return;
	case 0x22:
		loads->cr3 += REG(modrm) == 3;
		return;
	case 0xA1: /* pop fs, gs; lss, lfs, lgs */
	case 0xA9:
	case 0xB2:
	case 0xB4:
	case 0xB5:
		loads->segments++;
		return;
	}
}

struct loads trace_end(void)
{
	const u32 *words = (const u32 *)BENCH_WORDS;
	struct loads loads = { 0 };

	__asm__ volatile("pushfl; andl %0, (%%esp); popfl" : : "i"(~EFLAGS_TF) : "memory", "cc");
	host_gates()[DEBUG_VECTOR] = host_debug_gate;
	state->idt[DEBUG_VECTOR] = debug_gate;
	state->idt[HYPERCALL_VECTOR] = hypercall_gate;
	if (words[0] >= WORDS_MOST)
		host_failed("more than %u instructions in what was to be counted", WORDS_MOST);
	for (u32 index = 1; index <= words[0]; index++)
		count(&loads, (const u8 *)words[index]);
	return loads;
}

void print_counts(const char *name, struct loads loads, u32 walks)
{
	print("BENCH-COUNTS %s cr3_loads=%u segment_loads=%u table_loads=%u page_walks=%u\n", name, loads.cr3, loads.segments,
	      loads.tables, walks);
}
