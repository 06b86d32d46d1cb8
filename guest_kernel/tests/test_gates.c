/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LOAD_IDT_ENTRY: which vectors a program may call, what each type of gate does, and which entries the Host ignores.
 *
 * Read next: test_interrupts.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/traps/traps.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

#define TEST_VECTOR 0x41
#define SOME_STUB   30 /* has no error code; its number is the vector in the trap frame */
#define IDT_ERROR(vector) ((vector) * 8 + 2) /* error code: an IDT entry */

static const void *stub(u32 vector)
{
	return (const void *)trap_stubs[vector];
}

TEST(int_trap_gate, "gates: int from ring 3 through a trap gate leaves irq_enabled set")
{
	idt_set_gate(TEST_VECTOR, stub(SOME_STUB), GATE_TRAP | GATE_DPL3);
	struct caught caught = catch_ring3(snippet_int_test, 0);
	ASSERT_EQ("vector", SOME_STUB, caught.frame.vector);
	ASSERT_EQ("eip", snippet_int_test_at + 2, caught.frame.eip);
	ASSERT_EQ("irq_enabled", GUEST_IF, caught.irq_enabled);
}

TEST(int_interrupt_gate, "gates: int from ring 3 through an interrupt gate clears irq_enabled")
{
	idt_set_gate(TEST_VECTOR, stub(SOME_STUB), GATE_INTERRUPT | GATE_DPL3);
	struct caught caught = catch_ring3(snippet_int_test, 0);
	ASSERT_EQ("vector", SOME_STUB, caught.frame.vector);
	ASSERT_EQ("eip", snippet_int_test_at + 2, caught.frame.eip);
	ASSERT_EQ("irq_enabled", 0, caught.irq_enabled);
	ASSERT_EQ("saved IF", EFLAGS_IF, caught.frame.eflags & EFLAGS_IF);
}

TEST(int_closed, "gates: int from ring 3 through a gate of DPL 0")
{
	idt_set_gate(TEST_VECTOR, stub(SOME_STUB), GATE_TRAP);
	expect_trap(3, snippet_int_test, 0, TRAP_PROTECTION, IDT_ERROR(TEST_VECTOR), snippet_int_test_at);
}

TEST(int_empty, "gates: int from ring 3 of an empty entry")
{
	expect_trap(3, snippet_int_test, 0, TRAP_PROTECTION, IDT_ERROR(TEST_VECTOR), snippet_int_test_at);
}

TEST(int_emptied, "gates: an entry can be emptied again")
{
	idt_set_gate(TEST_VECTOR, stub(SOME_STUB), GATE_TRAP | GATE_DPL3);
	idt_set_gate(TEST_VECTOR, NULL, 0);
	expect_trap(3, snippet_int_test, 0, TRAP_PROTECTION, IDT_ERROR(TEST_VECTOR), snippet_int_test_at);
}

TEST(int_page_fault, "gates: a program cannot forge a page fault")
{
	expect_trap(3, snippet_int_page_fault, 0, TRAP_PROTECTION, IDT_ERROR(TRAP_PAGE_FAULT),
		    snippet_int_page_fault_at);
}

TEST(int_clock, "gates: a program cannot forge the clock")
{
	expect_trap(3, snippet_int_clock, 0, TRAP_PROTECTION, IDT_ERROR(FIRST_IRQ_VECTOR), snippet_int_clock_at);
}

TEST(int_hypercall, "gates: a program cannot make a hypercall")
{
	expect_trap(3, snippet_int_hypercall, 0, TRAP_PROTECTION, IDT_ERROR(HYPERCALL_VECTOR),
		    snippet_int_hypercall_at);
}

/* No gate that the Guest loads makes the machine's interrupt vectors reachable by int. */
static void forge(u32 ring, u32 vector, const char *start, const char *at)
{
	idt_set_gate(vector, stub(SOME_STUB), GATE_TRAP | GATE_DPL3);
	expect_trap(ring, start, 0, TRAP_PROTECTION, IDT_ERROR(vector), at);
	idt_set_gate(vector, NULL, 0);
}

TEST(forge_timer_ring3, "gates: ring 3 cannot forge the machine's timer")
{
	forge(3, VECTOR_TIMER, snippet_int_timer, snippet_int_timer_at);
}

TEST(forge_timer_ring1, "gates: ring 1 cannot forge the machine's timer")
{
	forge(1, VECTOR_TIMER, snippet_int_timer, snippet_int_timer_at);
}

TEST(forge_doorbell_ring3, "gates: ring 3 cannot forge the machine's doorbell")
{
	forge(3, VECTOR_DOORBELL, snippet_int_doorbell, snippet_int_doorbell_at);
}

TEST(forge_doorbell_ring1, "gates: ring 1 cannot forge the machine's doorbell")
{
	forge(1, VECTOR_DOORBELL, snippet_int_doorbell, snippet_int_doorbell_at);
}

TEST(ignored, "gates: entries 2, 8, 15 and 0x1f are ignored, of any type")
{
	static const u32 vectors[] = { 2, 8, 15, HYPERCALL_VECTOR };
	for (u32 i = 0; i < 4; i++)
		idt_set_gate(vectors[i], stub(SOME_STUB), GATE_TASK);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0); /* returns only if it is still a hypercall */
	expect_trap(3, snippet_int_hypercall, 0, TRAP_PROTECTION, IDT_ERROR(HYPERCALL_VECTOR),
		    snippet_int_hypercall_at);
}

TEST(forced_code, "gates: the handler's code segment is the Guest kernel's")
{
	u32 offset = (u32)stub(SOME_STUB);
	hypercall(LHCALL_LOAD_IDT_ENTRY, TRAP_UNDEFINED, HOST_CS << 16 | (offset & 0xFFFF),
		  (offset & 0xFFFF0000) | GATE_INTERRUPT << 8, 0);
	struct caught caught = catch_ring3(snippet_undefined, 0);
	ASSERT_EQ("vector", SOME_STUB, caught.frame.vector);
	ASSERT_EQ("handler's cs", GUEST_CS, caught.handler_cs);
}

TEST(replaced, "gates: a new handler replaces the old one")
{
	idt_set_gate(TRAP_DIVIDE, stub(SOME_STUB), GATE_INTERRUPT);
	struct caught caught = catch_ring3(snippet_divide, 0);
	ASSERT_EQ("vector", SOME_STUB, caught.frame.vector);
	idt_set_gate(TRAP_DIVIDE, stub(TRAP_DIVIDE), GATE_INTERRUPT);
	expect_trap(3, snippet_divide, 0, TRAP_DIVIDE, 0, snippet_divide_at);
}

TEST(exception_trap_gate, "gates: an exception through a trap gate leaves irq_enabled set")
{
	idt_set_gate(TRAP_UNDEFINED, stub(TRAP_UNDEFINED), GATE_TRAP);
	struct caught caught = catch_ring3(snippet_undefined, 0);
	ASSERT_EQ("vector", TRAP_UNDEFINED, caught.frame.vector);
	ASSERT_EQ("irq_enabled", GUEST_IF, caught.irq_enabled);
}

/* A direct system call does not enter the Host, so the processor pushes its own IF and not irq_enabled. */
TEST(direct_call, "gates: the system call is direct, and pushes the real IF")
{
	test_take_clock();
	catch_with_irq(0);
	struct caught caught = catch_ring3(snippet_ring, 0);
	ASSERT_EQ("vector", SYSTEM_CALL_VECTOR, caught.frame.vector);
	ASSERT_EQ("saved IF", EFLAGS_IF, caught.frame.eflags & EFLAGS_IF);
	ASSERT_EQ("irq_enabled", 0, caught.irq_enabled);
}

TEST(reflected_call, "gates: through an interrupt gate the system call is reflected, and clears irq_enabled")
{
	idt_set_gate(SYSTEM_CALL_VECTOR, trap_system_call, GATE_INTERRUPT | GATE_DPL3);
	struct caught caught = catch_ring3(snippet_ring, 0);
	ASSERT_EQ("vector", SYSTEM_CALL_VECTOR, caught.frame.vector);
	ASSERT_EQ("saved IF", EFLAGS_IF, caught.frame.eflags & EFLAGS_IF);
	ASSERT_EQ("irq_enabled", 0, caught.irq_enabled);
}
