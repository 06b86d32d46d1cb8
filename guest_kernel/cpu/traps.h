/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the processor or the Host pushes for a trap, and what traps.S adds. */
#ifndef TRAPS_H
#define TRAPS_H
#include "switcher/layouts/types.h"
#include <stdbool.h>

enum vector {
	TRAP_DIVIDE = 0,
	TRAP_DEBUG = 1,
	TRAP_BREAKPOINT = 3,
	TRAP_OVERFLOW = 4,
	TRAP_BOUND = 5,
	TRAP_UNDEFINED = 6,
	TRAP_NO_DEVICE = 7,
	TRAP_NOT_PRESENT = 11,
	TRAP_STACK = 12,
	TRAP_PROTECTION = 13,
	TRAP_PAGE_FAULT = 14,
	TRAP_FPU = 16,
	TRAP_SIMD = 19,
};

#define FAULT_PRESENT 1 /* error code of a page fault */
#define FAULT_WRITE   2
#define FAULT_USER    4

/* traps.S pushes from vector downwards; esp and ss are there only when the trap came from ring 3. */
struct frame {
	u32 edi;
	u32 esi;
	u32 ebp;
	u32 unused_esp;
	u32 ebx;
	u32 edx;
	u32 ecx;
	u32 eax;
	u32 ds;
	u32 es;
	u32 fs;
	u32 gs;
	u32 vector;
	u32 error;
	u32 eip;
	u32 cs;
	u32 eflags;
	u32 esp;
	u32 ss;
};

extern const u32 trap_stubs[]; /* of vectors 0 to STUBS - 1 */
extern const char trap_system_call[];
extern const char noirq_start[], noirq_end[];
void trap_return(void); /* not a function to call: where a new task's first switch goes */
void noirq_spin(u32 rounds); /* counts down within the noirq window, for a test */

void traps_init(void);
/* Load an IDT entry of a type below; NULL and 0 empty it. */
void trap_gate(u32 vector, const void *handler, u32 type_and_dpl);
void trap(struct frame *frame);
const char *trap_name(u32 vector);
void panic_frame(const char *why, const struct frame *frame) __attribute__((noreturn));

#define GATE_INTERRUPT 0x8E
#define GATE_TRAP      0x8F
#define GATE_DPL3      0x60

#endif
