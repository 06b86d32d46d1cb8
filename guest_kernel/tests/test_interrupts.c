/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual interrupts: one that is disabled, blocked or otherwise held back stays pending, and arrives as soon as it is
 * allowed. The tests raise the clock's. "Without a hypercall" means that the Host has to notice the change by itself.
 *
 * Read next: test_clock.c.
 */
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/cpu/interrupts.h"
#include "guest_kernel/faults/catch.h"
#include "guest_kernel/tasks/clock.h"
#include "guest_kernel/tests/expect.h"
#include "guest_kernel/tests/test.h"
#include "guest_kernel/traps/traps.h"
#include "guest_kernel/user/snippets.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

#define ATTEMPTS 20
#define SOON_US 1000
#define LATER_MS 20 /* well after SOON_US */

static bool in_window(u32 eip)
{
	return eip >= (u32)noirq_start && eip < (u32)noirq_end;
}

TEST(arrives, "interrupts: the clock's arrives in ring 1")
{
	test_take_clock();
	test_arm_us(SOON_US);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
}

TEST(disabled, "interrupts: one raised while disabled sets irq_pending, and arrives at SEND_INTERRUPTS")
{
	test_take_clock();
	irq_disable();
	test_arm_us(SOON_US);
	ASSERT(WAIT_FOR(lguest_data.irq_pending));
	ASSERT_EQ("irq_pending", GUEST_IF, lguest_data.irq_pending);
	test_spin_ms(LATER_MS);
	ASSERT_EQ("interrupts while disabled", 0, test_clock_count());
	lguest_data.irq_enabled = GUEST_IF;
	hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	ASSERT_EQ("interrupts after SEND_INTERRUPTS", 1, test_clock_count());
	ASSERT_EQ("irq_pending", 0, lguest_data.irq_pending);
}

TEST(silently_enabled, "interrupts: one raised while disabled arrives after enabling without a hypercall")
{
	test_take_clock();
	irq_disable();
	test_arm_us(SOON_US);
	ASSERT(WAIT_FOR(lguest_data.irq_pending));
	lguest_data.irq_enabled = GUEST_IF;
	ASSERT(WAIT_FOR(test_clock_count() == 1));
}

TEST(blocked, "interrupts: one raised while blocked arrives at SEND_INTERRUPTS")
{
	test_take_clock();
	irq_mask(IRQ_CLOCK);
	test_arm_us(SOON_US);
	test_spin_ms(LATER_MS);
	ASSERT_EQ("interrupts while blocked", 0, test_clock_count());
	ASSERT_EQ("irq_pending while enabled", 0, lguest_data.irq_pending);
	irq_unmask(IRQ_CLOCK);
	ASSERT_EQ("interrupts after unblocking", 1, test_clock_count());
}

TEST(silently_unblocked, "interrupts: one raised while blocked arrives after unblocking without a hypercall")
{
	test_take_clock();
	irq_mask(IRQ_CLOCK);
	test_arm_us(SOON_US);
	test_spin_ms(LATER_MS);
	lguest_data.blocked_interrupts &= ~(1u << IRQ_CLOCK);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
}

TEST(blocked_not_pending, "interrupts: a blocked one does not count as pending")
{
	test_take_clock();
	irq_mask(IRQ_CLOCK);
	irq_disable();
	test_arm_us(SOON_US);
	test_spin_ms(LATER_MS);
	hypercall(LHCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	ASSERT_EQ("irq_pending", 0, lguest_data.irq_pending);
	ASSERT_EQ("interrupts", 0, test_clock_count());
}

/* noirq_spin() stays in the window for long enough. */
TEST(window, "interrupts: one raised in the noirq window arrives after it")
{
	test_take_clock();
	u64 elapsed = 0;
	for (u32 rounds = 100000; elapsed < 5 * NS_PER_MS && rounds < 0x40000000; rounds *= 2) {
		u32 before = test_clock_count();
		test_arm_us(SOON_US);
		u64 from = clock_ns();
		noirq_spin(rounds);
		elapsed = clock_ns() - from;
		ASSERT(WAIT_FOR(test_clock_count() == before + 1));
		ASSERT(!in_window(irq_last_eip()));
	}
	ASSERT(elapsed >= 5 * NS_PER_MS);
}

/*
 * Prepares an interrupt with interrupts disabled, then spins in ring 3. The interrupt may come between enabling and
 * ring 3; that attempt proves nothing and is repeated.
 */
static void interrupt_spinning_program(void (*prepare)(void))
{
	struct caught caught;
	test_take_clock();
	(void)*(volatile const char *)snippet_spin; /* mapped now: a demand fault would inject the interrupt */
	for (u32 attempt = 0; attempt < ATTEMPTS; attempt++) {
		irq_disable();
		prepare();
		catch_interrupts_too();
		caught = catch_ring3(snippet_spin, 0);
		if (caught.frame.cs == USER_CS)
			break;
	}
	ASSERT_EQ("vector", FIRST_IRQ_VECTOR + IRQ_CLOCK, caught.frame.vector);
	ASSERT_EQ("cs", USER_CS, caught.frame.cs);
	ASSERT_EQ("eip", snippet_spin, caught.frame.eip);
	ASSERT_EQ("saved IF", EFLAGS_IF, caught.frame.eflags & EFLAGS_IF);
	ASSERT_EQ("irq_enabled in the handler", 0, caught.irq_enabled);
	ASSERT_EQ("TF, NT, IOPL in the handler", 0, caught.real_eflags & (EFLAGS_TF | EFLAGS_NT | EFLAGS_IOPL));
}

static void arm_soon(void)
{
	test_arm_us(SOON_US);
}

static void raise_blocked(void)
{
	irq_mask(IRQ_CLOCK);
	test_arm_us(SOON_US);
	test_spin_ms(LATER_MS);
	lguest_data.blocked_interrupts &= ~(1u << IRQ_CLOCK);
}

static void raise_disabled(void)
{
	test_arm_us(SOON_US);
	(void)WAIT_FOR(lguest_data.irq_pending);
}

TEST(spinning, "interrupts: one interrupts a CPU-bound program")
{
	interrupt_spinning_program(arm_soon);
}

TEST(spinning_after_block, "interrupts: one that was blocked interrupts a CPU-bound program without a hypercall")
{
	interrupt_spinning_program(raise_blocked);
}

TEST(spinning_after_disable, "interrupts: one that was disabled interrupts a CPU-bound program without a hypercall")
{
	interrupt_spinning_program(raise_disabled);
}

TEST(trap_gate_irq, "interrupts: through a trap gate irq_enabled stays set")
{
	test_take_clock();
	idt_set_gate(FIRST_IRQ_VECTOR, (const void *)trap_stubs[FIRST_IRQ_VECTOR], GATE_TRAP);
	irq_disable(); /* or it comes before the catch begins */
	test_arm_us(SOON_US);
	catch_interrupts_too();
	struct caught caught = catch_ring3(snippet_spin, 0);
	ASSERT_EQ("vector", FIRST_IRQ_VECTOR, caught.frame.vector);
	ASSERT_EQ("irq_enabled in the handler", GUEST_IF, caught.irq_enabled);
}

TEST(no_handler, "interrupts: one without an IDT entry stays pending")
{
	test_take_clock();
	idt_set_gate(FIRST_IRQ_VECTOR, NULL, 0);
	test_arm_us(SOON_US);
	test_spin_ms(LATER_MS);
	ASSERT_EQ("interrupts without a handler", 0, test_clock_count());
	idt_set_gate(FIRST_IRQ_VECTOR, (const void *)trap_stubs[FIRST_IRQ_VECTOR], GATE_INTERRUPT);
	ASSERT(WAIT_FOR(test_clock_count() == 1));
}

/* A trap pushes irq_enabled as IF, and not the processor's flag. */
TEST(saved_if_off, "interrupts: a trap while disabled saves IF = 0")
{
	irq_disable();
	struct caught caught = catch_ring1(snippet_undefined, 0);
	ASSERT_EQ("saved IF", 0, caught.frame.eflags & EFLAGS_IF);
	ASSERT_EQ("real IF in the handler", EFLAGS_IF, caught.real_eflags & EFLAGS_IF);
}

TEST(saved_if_on, "interrupts: a trap while enabled saves IF = 1")
{
	struct caught caught = catch_ring1(snippet_undefined, 0);
	ASSERT_EQ("saved IF", EFLAGS_IF, caught.frame.eflags & EFLAGS_IF);
}

TEST(halt_wakes, "interrupts: HALT sleeps until the clock, and leaves irq_enabled set")
{
	test_take_clock();
	irq_disable();
	test_arm_us(SOON_US);
	hypercall(LHCALL_HALT, 0, 0, 0, 0);
	ASSERT_EQ("interrupts", 1, test_clock_count());
	ASSERT_EQ("irq_enabled", GUEST_IF, lguest_data.irq_enabled);
}

TEST(halt_pending, "interrupts: HALT with one pending does not sleep")
{
	test_take_clock();
	irq_disable();
	test_arm_us(SOON_US);
	ASSERT(WAIT_FOR(lguest_data.irq_pending));
	hypercall(LHCALL_HALT, 0, 0, 0, 0);
	ASSERT_EQ("interrupts", 1, test_clock_count());
}

TEST(halt_repeated, "interrupts: fifty times HALT and the clock")
{
	test_take_clock();
	for (u32 i = 1; i <= 50; i++) {
		irq_disable();
		test_arm_us(50);
		hypercall(LHCALL_HALT, 0, 0, 0, 0);
		ASSERT_EQ("interrupts", i, test_clock_count());
	}
}
