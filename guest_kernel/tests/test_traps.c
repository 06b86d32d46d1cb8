/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each exception from ring 1 and from ring 3: its vector, error code, saved cs, eip and flags, and the state at the
 * start of its handler. Source: Intel SDM vol. 3, chapter 6, for the processor's behaviour.
 *
 * Read next: test_page_faults.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/tasks/fpu.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

#define NO_DESCRIPTOR 0x1F8 /* a selector beyond the GDT */
#define CARRY         0x001
#define DIRECTION     0x400

/* A test in each ring. */
#define BOTH(identifier, text, ...)                                                              \
	TEST(identifier##_ring1, "traps: " text " in ring 1") { expect_trap(1, __VA_ARGS__); }  \
	TEST(identifier##_ring3, "traps: " text " in ring 3") { expect_trap(3, __VA_ARGS__); }

BOTH(divide, "divide error", snippet_divide, 0, TRAP_DIVIDE, 0, snippet_divide_at)
BOTH(debug, "single step", snippet_debug, 0, TRAP_DEBUG, 0, snippet_debug_at)
BOTH(breakpoint, "breakpoint", snippet_breakpoint, 0, TRAP_BREAKPOINT, 0, snippet_breakpoint_at)
BOTH(overflow, "overflow", snippet_overflow, 0, TRAP_OVERFLOW, 0, snippet_overflow_at)
BOTH(bound, "bound", snippet_bound, 0, TRAP_BOUND, 0, snippet_bound_at)
BOTH(undefined, "undefined instruction", snippet_undefined, 0, TRAP_UNDEFINED, 0, snippet_undefined_at)

/* General protection: the error code is a selector, or 0. */
BOTH(beyond, "selector beyond the GDT", snippet_load_ds, NO_DESCRIPTOR | 3, TRAP_PROTECTION, NO_DESCRIPTOR,
     snippet_load_ds_at)
BOTH(host_data, "the Host's data segment", snippet_load_es, HOST_DS | 3, TRAP_PROTECTION, HOST_DS, snippet_load_es_at)
BOTH(host_code, "a jump to the Host's code segment", snippet_host_jump, 0, TRAP_PROTECTION, HOST_CS,
     snippet_host_jump_at)
BOTH(null_stack, "null in ss", snippet_load_ss, 0, TRAP_PROTECTION, 0, snippet_load_ss_at)
BOTH(read_cr0, "reading CR0", snippet_read_cr0, 0, TRAP_PROTECTION, 0, snippet_read_cr0_at)
BOTH(write_cr3, "writing CR3", snippet_write_cr3, 0, TRAP_PROTECTION, 0, snippet_write_cr3_at)
BOTH(lidt, "lidt", snippet_lidt, 0, TRAP_PROTECTION, 0, snippet_lidt_at)
BOTH(sti, "sti", snippet_sti, 0, TRAP_PROTECTION, 0, snippet_sti_at)

TEST(cli_ring3, "traps: cli in ring 3")
{
	expect_trap(3, snippet_cli, 0, TRAP_PROTECTION, 0, snippet_cli_at);
}

TEST(hlt_ring3, "traps: hlt in ring 3")
{
	expect_trap(3, snippet_hlt, 0, TRAP_PROTECTION, 0, snippet_hlt_at);
}

TEST(in_ring3, "traps: in from a port in ring 3")
{
	expect_trap(3, snippet_in, 0, TRAP_PROTECTION, 0, snippet_in_at);
}

TEST(out_ring3, "traps: out to a port in ring 3")
{
	expect_trap(3, snippet_out, 0, TRAP_PROTECTION, 0, snippet_out_at);
}

/* Segments that are not present: 11, or 12 for the stack; the error code is the selector without its ring. */
static void not_present(u32 ring, const char *start, u32 vector, const char *at)
{
	u32 absent = SEGMENT_DATA & ~(u32)SEGMENT_PRESENT, selector = GDT_TEST * 8;
	segment_load(GDT_TEST, 0, SEGMENT_FLAT, absent | SEGMENT_DPL(ring));
	expect_trap(ring, start, selector | ring, vector, selector, at);
}

TEST(absent_ring1, "traps: segment not present in ring 1")
{
	not_present(1, snippet_load_ds, TRAP_NOT_PRESENT, snippet_load_ds_at);
}

TEST(absent_ring3, "traps: segment not present in ring 3")
{
	not_present(3, snippet_load_ds, TRAP_NOT_PRESENT, snippet_load_ds_at);
}

TEST(absent_stack_ring1, "traps: stack segment not present in ring 1")
{
	not_present(1, snippet_load_ss, TRAP_STACK, snippet_load_ss_at);
}

TEST(absent_stack_ring3, "traps: stack segment not present in ring 3")
{
	not_present(3, snippet_load_ss, TRAP_STACK, snippet_load_ss_at);
}

/* Trap 7 comes when TS is set, and not when it is clear. */
static void with_ts(u32 ring)
{
	test_take_clock(); /* a task switch would set TS */
	fpu_set_ts(false);
	expect_trap(ring, snippet_no_device, 0, SYSTEM_CALL_VECTOR, 0, NULL);
	if (test_failed())
		return;
	fpu_set_ts(true);
	expect_trap(ring, snippet_no_device, 0, TRAP_NO_DEVICE, 0, snippet_no_device_at);
}

TEST(ts_ring1, "traps: FPU with TS in ring 1")
{
	with_ts(1);
}

TEST(ts_ring3, "traps: FPU with TS in ring 3")
{
	with_ts(3);
}

/* CR0.NE is set: an x87 error raises vector 16 and not the PC's interrupt 13. */
static void x87_error(u32 ring)
{
	test_take_clock();
	fpu_set_ts(false);
	expect_trap(ring, snippet_x87, 0, TRAP_FPU, 0, snippet_x87_at);
	__asm__ volatile("fninit");
}

TEST(x87_ring1, "traps: x87 error in ring 1")
{
	x87_error(1);
}

TEST(x87_ring3, "traps: x87 error in ring 3")
{
	x87_error(3);
}

/* With NT set the handler's iret would be a hardware task switch. */
TEST(nt_cleared, "traps: NT is saved, and clear in the handler")
{
	struct caught caught = catch_ring3(snippet_nt, 0);
	ASSERT(caught.trapped);
	ASSERT_EQ("vector", TRAP_UNDEFINED, caught.frame.vector);
	ASSERT_EQ("saved NT", EFLAGS_NT, caught.frame.eflags & EFLAGS_NT);
	ASSERT_EQ("NT in the handler", 0, caught.real_eflags & EFLAGS_NT);
}

/* A trap from ring 3 pushes on SET_STACK's stack, with ss and esp; from ring 1 on the current stack. */
TEST(stack_ring3, "traps: from ring 3 on SET_STACK's stack")
{
	struct caught caught = catch_ring3(snippet_undefined, 0);
	ASSERT(caught.trapped);
	ASSERT_EQ("ss", USER_DS, caught.frame.ss);
	ASSERT_EQ("esp", USER_STACK_TOP, caught.frame.esp);
	ASSERT_EQ("end of the frame", caught.trap_esp, caught.frame_end);
}

TEST(stack_ring1, "traps: from ring 1 on the current stack")
{
	struct caught caught = catch_ring1(snippet_own_stack, 0);
	ASSERT(caught.trapped);
	ASSERT_EQ("vector", TRAP_UNDEFINED, caught.frame.vector);
	ASSERT_EQ("end of the frame", caught.frame.eax, caught.frame_end);
}

TEST(registers, "traps: every register is preserved")
{
	struct caught caught = catch_ring3(snippet_registers, 0);
	ASSERT(caught.trapped);
	ASSERT_EQ("vector", TRAP_UNDEFINED, caught.frame.vector);
	ASSERT_EQ("eax", 0xA1, caught.frame.eax);
	ASSERT_EQ("ebx", 0xB2, caught.frame.ebx);
	ASSERT_EQ("ecx", 0xC3, caught.frame.ecx);
	ASSERT_EQ("edx", 0xD4, caught.frame.edx);
	ASSERT_EQ("esi", 0xE5, caught.frame.esi);
	ASSERT_EQ("edi", 0xF6, caught.frame.edi);
	ASSERT_EQ("ebp", 0x17, caught.frame.ebp);
	ASSERT_EQ("esp", USER_STACK_TOP - 8, caught.frame.esp);
	ASSERT_EQ("ds", USER_DS, caught.frame.ds);
	ASSERT_EQ("es", USER_DS, caught.frame.es);
	ASSERT_EQ("fs", USER_DS, caught.frame.fs);
	ASSERT_EQ("gs", USER_DS, caught.frame.gs);
	ASSERT_EQ("carry flag", CARRY, caught.frame.eflags & CARRY);
	ASSERT_EQ("direction flag", DIRECTION, caught.frame.eflags & DIRECTION);
}
