/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The native personality: its initial state, when interrupts are injected, and what each exit reason means.
 * Read before: native.h.  Read next: emulate.c, inject.c.
 * Next in the book: gates.c.
 */
#include "host_kernel/native/native.h"
#include "host_kernel/native/pc/pc.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/personality.h"
#include "host_kernel/base/print.h"
#include "host_kernel/machine/world_switch.h"
#include "host_kernel/machine/debug_registers.h"
#include "host_kernel/memory/fault.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/guest_virtual.h"
#include "host_kernel/memory/paging.h"
#include "host_kernel/memory/shadow.h"
#include "host_kernel/memory/walk.h"
#include "host_kernel/pci/pci.h"

/*
 * Write the TSC's rate into the kernel's command line.  The kernel's own measurement, against a timer that traps, would be
 * inexact.  Left-aligned, because a leading zero would mean octal.
 */
static void tell_tsc_rate(void)
{
	char digits[TSC_DIGITS + 1], *text;
	int count;

	if (!machine.tsc_text)
		return;
	text = guest_physical(machine.tsc_text, TSC_DIGITS, "the command line");
	count = format(digits, sizeof(digits), "%u", machine.tsc_khz);
	for (int index = 0; index < TSC_DIGITS; index++)
		text[index] = index < count ? digits[index] : ' ';
}

static void init(void)
{
	native.cr0 = CR0_PE | CR0_ET;
	debug_registers_init();
	guest.kernel_address = NATIVE_KERNEL_HALF; /* an optimisation only */
	guest.io_pages[0] = LOCAL_APIC_ADDRESS;
	guest.io_pages[1] = IO_APIC_ADDRESS;
	native.kernel_cs_mask = ~0u;
	popf_init();
	tell_tsc_rate();
	control_init();
	native_segments_init();
	pic_init();
	io_apic_init();
	local_apic_init();
	pit_init();
}

/*
 * The Switcher sets the interrupt flag for the kernel without a look at what follows (switcher/fast_paths.h).  Where that is
 * hlt, no interrupt may come between the two, or its wake-up is lost: it comes right behind the hlt.
 */
static void skip_hlt(void)
{
	const struct registers *regs = guest.regs;
	u8 opcode;

	if (!guest.halted && (regs->cs & RPL) != RPL && guest_try_read(&opcode, regs->eip + segment_base(regs->cs), 1) &&
	    opcode == HLT)
		guest.regs->eip++;
}

static void interrupts(void)
{
	u32 vector;

	line_check();
	state->interrupt_pending = irq_pending();
	if (!state->interrupt_pending)
		return;
	native.port_accessed = false; /* iret to a program is another matter now */
	if (native.stepping || !(guest.regs->eflags & EFLAGS_IF))
		return;
	guest.halted = false;
	skip_hlt();
	mailbox->interrupts_delivered++;
	if (!irq_acknowledge(&vector))
		guest_not_idle();
	native_inject(vector, 0);
	state->interrupt_pending = irq_pending();
}

static bool needs_retry(void)
{
	return line_pauses(); /* not for interrupts: with the flag set the doorbell itself exits, and with it clear, sti or popf does */
}

static void asleep(void)
{
	if (!(guest.regs->eflags & EFLAGS_IF))
		end_guest(END_HALTED, "the Guest halted with interrupts off");
	guest_idle();
}

static void pci_irq_line(u32 irq, bool high)
{
	irq_line(irq % PIC_LINES, high);
}

static void before_entry(void)
{
	if (native.port_accessed) {
		native.port_accessed = false;
		if ((guest.regs->cs & RPL) != RPL && (state->fast_path & FAST_IRET_KERNEL) && !native.stepping &&
		    !native.descriptors_differ) {
			choose_kernel_gdt();
			drop_bad_segments();
			return;
		}
	}
	guest.unlinked = false;
	if (untrusted->stale && (guest.regs->cs & RPL) == RPL)
		stores_sync();
	choose_gdt(guest.regs->cs & RPL);
	if (native.stepping)
		step_unprotect(true); /* the read of the TSS may have protected its page again */
	drop_bad_segments();
	if (native.page_unprotected)
		unprotected_page_hide();
}

/* An access to a BAR. */
static void __attribute__((noinline, cold)) io_memory(u32 address)
{
	const struct registers *regs = guest.regs;
	bool stepping = native.stepping;
	u32 vector;

	if (stepping) /* a store that begins in a write-protected page */
		step_end();
	vector = io_memory_access(address, (regs->cs & RPL) == 1 || is_flat_code(regs->cs));
	if (stepping)
		descriptor_tables_sync();
	if (vector == IO_DONE)
		return;
	if (vector == TRAP_DEBUG)
		inject_debug(DR6_STEP);
	else if (vector == TRAP_PAGE_FAULT)
		native_reflect_page_fault(guest_fault.address, guest_fault.error);
	else
		native_inject(vector, 0);
}

/* Does the shadow map the page of address to the frame of this entry? */
static bool is_mapped(u32 address, pte_t entry)
{
	return shadow_lookup(address, false) == (u8 *)(machine.guest_base + entry_address(entry) + address % PAGE_BYTES);
}

static void page_fault(u32 address, u32 error)
{
	u32 access = error, how;
	pte_t entry, pde;

	untrusted->reflected = 0;
	/* A store to a page that is mapped and write-protected: each change of tasks makes one. */
	if ((access & (FAULT_P | FAULT_W)) == (FAULT_P | FAULT_W) && walk(address, access, &entry, &pde, &error) &&
	    is_write_protected(FRAME(entry)) && is_mapped(address, entry)) {
		step_store(address, FRAME(entry));
		return;
	}
	how = demand_page(address, access, &error);
	if (how == FAULT_DENIED) {
		native_reflect_page_fault(address, error);
		return;
	}
	if (how == FAULT_IO) {
		io_memory(address);
		return;
	}
	mailbox->faults_filled++;
	if ((access & FAULT_W) && walk(address, access, &entry, &pde, &error) &&
	    (is_write_protected(FRAME(entry)) || !guest_frame_valid(entry)))
		step_store(address, FRAME(entry));
}

static inline void handle_exit(void)
{
	struct registers *regs = guest.regs;
	u32 vector = regs->trapnum, error = regs->errcode;
	bool ring_1 = (regs->cs & RPL) == 1;

	if (ring_1 && regs->cs != state->flat_cs)
		kernel_code_changed();
	if (native.page_unprotected && unprotected_page_trap(vector, error))
		return;
	switch (vector) {
	case VECTOR_TIMER:
	case VECTOR_DOORBELL:
	case VECTOR_SPURIOUS:
		return;
	case TRAP_PAGE_FAULT:
		page_fault(guest.cr2, error);
		return;
	case TRAP_DEBUG:
		native_debug_exception();
		return;
	case TRAP_GENERAL:
		if (ring_1 ? native_emulate(error) : emulate_program_interrupt(error) || emulate_program_io(error))
			return;
		break;
	case TRAP_NOT_PRESENT: /* iret to a program */
	case TRAP_STACK:
		if (ring_1 && native_emulate(error))
			return;
		break;
	case TRAP_DOUBLE_FAULT:
		kill_guest("double fault at eip %#x", regs->eip);
	default:
		break;
	}
	if (native.stepping)
		step_end();
	native_inject(vector, error);
}

static void trap(void);

/* With breakpoints, and while popf is watched, each exit has more to it. */
static bool is_alone(void)
{
	return personality.trap == trap;
}

static void trap(void)
{
	for (;;) {
		if (guest.regs->trapnum == TRAP_PAGE_FAULT && is_alone())
			refill();
		handle_exit();
		if (!native.flushed)
			return;
		native.flushed = false;
		if (!is_alone())
			return;
		/* Like a fill (refill.c), but that what an entry prepares may have changed. */
		guest.regs->trapnum = TRAP_NONE;
		before_entry();
		switch_worlds();
	}
}

static void control_registers(u32 registers[4])
{
	registers[0] = native.cr0;
	registers[1] = untrusted->guest_cr2;
	registers[2] = native.cr3;
	registers[3] = native.cr4;
}

const struct personality native_personality = {
	.init = init,
	.interrupts = interrupts,
	.needs_retry = needs_retry,
	.asleep = asleep,
	.clock_expired = timers_expired,
	.device_irq = pci_raise,
	.before_entry = before_entry,
	.trap = trap,
	.irq_line = pci_irq_line,
	.message = irq_message,
	.io_read = apic_pages_read,
	.io_write = apic_pages_write,
	.segment_base = segment_base,
	.control_registers = control_registers,
};
