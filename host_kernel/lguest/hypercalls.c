/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls, synchronous or from the asynchronous ring in lguest_data.  They return no values.
 * Read before: traps.c.  Numbers and layouts: switcher/layouts/lguest_abi.h.
 * Picture: docs/pictures/life-hypercall.svg.
 * Next in the book: segments.c.
 */
#include "host_kernel/lguest/lguest.h"
#include "host_kernel/base/end.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/clock.h"
#include "host_kernel/machine/mailbox.h"
#include "host_kernel/memory/directories.h"
#include "host_kernel/memory/guest_physical.h"
#include "host_kernel/memory/page_tables.h"

#define MESSAGE_BYTES 128u

/* Set the next entry of the ring; the lean Switcher reads its status too. */
static void ring_moved(u32 cursor)
{
	guest.ring_cursor = mailbox->ring_cursor = cursor;
	if (guest.lguest_data_mapped)
		state->ring_status = guest.lguest_data_mapped + offsetof(struct lguest_data, hcall_status) + cursor;
}

/* NEW_PGTABLE: the first one ends the linear map. */
static inline __attribute__((always_inline)) void set_directory(u32 directory)
{
	if (directory % PAGE_BYTES || !guest_range(directory, PAGE_BYTES))
		kill_guest("bad page directory address %#x", directory);
	guest.directory = directory;
	state->page_directories[0] = guest.kernel_address + directory;
	if (!state->page_fault_handler)
		gates_reflect();
	shadow_directory_enter(directory);
}

/* LGUEST_INIT: the address of lguest_data.  The fields that the Guest sets are read here, once. */
static void __attribute__((noinline)) init(u32 address)
{
	struct lguest_data *data;

	if (guest.data)
		kill_guest("LGUEST_INIT a second time");
	if (address % 4 || address > machine.guest_bytes || machine.guest_bytes - address < abi_data_bytes())
		kill_guest("lguest_data at bad physical address %#x", address);
	data = guest_physical(address, abi_data_bytes(), "lguest_data");
	abi_read(data);
	guest.data = data;
	guest.lguest_data_mapped = map_lguest_data(address);
	ring_moved(0);
	gates_reflect();
	data->reserve_mem = RESERVE_MEM;
	data->tsc_khz = machine.tsc_khz;
	clock_wall(&data->time_seconds, &data->time_nanoseconds);
	if (machine.abi == LGUEST_DATA_0) {
		u32 directory = first_tables();

		((struct lguest_data_old *)data)->pgdir = directory;
		set_directory(directory);
	}
}

static void __attribute__((noinline)) shutdown(u32 address, u32 type)
{
	char message[MESSAGE_BYTES + 1];
	u32 count = 0;

	if (type == SHUTDOWN_RESTART)
		end_guest(END_RESTART, "by hypercall SHUTDOWN");
	if (type != SHUTDOWN_POWEROFF)
		kill_guest("SHUTDOWN of unknown type %u", type);
	while (count < MESSAGE_BYTES) {
		char next = *(char *)guest_physical(address + count, 1, "a SHUTDOWN message");

		if (!next)
			break;
		message[count++] = next;
	}
	message[count] = 0;
	for (count = 0; "Power down"[count] && message[count] == "Power down"[count]; count++)
		;
	if (!"Power down"[count] && !message[count])
		end_guest(END_POWER_OFF, message);
	end_guest(END_PANIC, message);
}

/* NOTIFY: of a device, in the pages above RAM; or early console text, in RAM. */
static void __attribute__((noinline)) notify(u32 address)
{
	u32 count = 0;
	const u8 *text;

	if (address >= machine.guest_bytes) {
		guest_physical(address, 1, "a NOTIFY");
		mailbox_notify(address);
		return;
	}
	text = guest_physical(address, 1, "a NOTIFY");
	while (address + count < machine.guest_bytes && count < PAGE_BYTES && text[count])
		count++;
	mailbox_text(text, count);
}

/* HALT is like `sti; hlt`; eip is already after the int. */
void halt_guest(void)
{
	guest.data->irq_enabled = GUEST_IF;
	guest.halted = true;
}

_Static_assert(sizeof(mailbox->ring) / sizeof(*mailbox->ring) == HCALL_RING, "a record for each entry");
_Static_assert(sizeof(struct hypercall_entry) + sizeof(u32) == sizeof(struct ring_record), "number and arguments");
_Static_assert(offsetof(struct registers, esi) == offsetof(struct hypercall_entry, arg4), "number and arguments");

/* For the report: the arguments of the exit that record_switch() has just recorded. */
static inline __attribute__((always_inline)) void record_arguments(const struct registers *regs)
{
	struct call_arguments *to = &mailbox->arguments[(mailbox->switch_head - 1) % SWITCH_RECORDS];

	to->arg1 = regs->ebx;
	to->arg2 = regs->ecx;
	to->arg3 = regs->edx;
	to->arg4 = regs->esi;
}

/* For the report: an entry of the ring, before it is done.  A device may write to the ring, so this copy is what is done. */
static inline __attribute__((always_inline)) const struct ring_record *record_entry(u32 cursor)
{
	const struct hypercall_entry *entry = &guest.data->hcalls[cursor];
	struct ring_record *to = &mailbox->ring[cursor];

	to->nr = read_once(&entry->nr);
	to->arg1 = read_once(&entry->arg1);
	to->arg2 = read_once(&entry->arg2);
	to->arg3 = read_once(&entry->arg3);
	to->arg4 = read_once(&entry->arg4);
	__asm__ volatile("" : : : "memory"); /* the machine can be stopped in between */
	to->switches = (u32)mailbox->switches;
	return to;
}

/* One call, from the registers, or from the record of one of the ring, which has the same layout. */
static void ALWAYS __attribute__((noinline)) hypercall(const struct hypercall_entry *call)
{
	u32 number = call->nr, arg1 = call->arg1, arg2 = call->arg2, arg3 = call->arg3;

	if (number < HYPERCALL_COUNT)
		mailbox->by_hypercall[number]++;
	switch (number) {
	case LHCALL_FLUSH_ASYNC:
	case LHCALL_SEND_INTERRUPTS:
		break; /* nothing left to do: the ring is drained, and the run loop injects interrupts */
	case LHCALL_LGUEST_INIT:
		init(arg1);
		break;
	case LHCALL_SHUTDOWN:
		shutdown(arg1, arg2);
		break;
	case LHCALL_NEW_PGTABLE:
		set_directory(arg1);
		break;
	case LHCALL_FLUSH_TLB:
		if (arg1)
			flush_all();
		else
			flush_user();
		break;
	case LHCALL_LOAD_IDT_ENTRY:
		load_idt_entry(arg1, arg2, arg3);
		break;
	case LHCALL_SET_STACK:
		set_stack(arg1, arg2, arg3);
		break;
	case LHCALL_TS:
		guest.ts = arg1;
		break;
	case LHCALL_SET_CLOCKEVENT:
		clock_set_event(arg1);
		break;
	case LHCALL_HALT:
		halt_guest();
		break;
	case LHCALL_SET_PTE:
		set_pte(arg1, arg2, arg3);
		break;
	case LHCALL_SET_PGD:
		set_pgd(arg1, arg2);
		break;
	case LHCALL_LOAD_TLS:
		load_tls(guest_physical(arg1, 24, "TLS descriptors"));
		break;
	case LHCALL_NOTIFY:
		notify(arg1);
		break;
	case LHCALL_LOAD_GDT_ENTRY:
		load_gdt_entry(arg1, arg2, arg3);
		break;
	case LHCALL_SET_PMD:
		kill_guest("hypercall SET_PMD: a PAE kernel cannot run here");
	default:
		kill_guest("unknown hypercall %u (%#x %#x %#x %#x)", number, arg1, arg2, arg3, call->arg4);
	}
}

/* Do the calls in the ring, from the cursor on, at most once around. */
static void ALWAYS __attribute__((noinline)) drain_ring(void)
{
	struct lguest_data *data = guest.data;
	u32 cursor = guest.ring_cursor;

	for (u32 done = 0; done < HCALL_RING && data->hcall_status[cursor] != HCALL_FREE; done++) {
		const struct ring_record *entry = record_entry(cursor);
		u8 *status = &data->hcall_status[cursor];

		cursor = (cursor + 1) % HCALL_RING;
		if (entry->nr == LHCALL_SET_PTE) { /* nine of ten calls */
			const struct hypercall_entry *next = &data->hcalls[cursor];
			u32 directory = entry->arg1, address = entry->arg2;

			mailbox->by_hypercall[LHCALL_SET_PTE]++;
			/* Linux often clears an entry and then sets it.  set_pte() reads the Guest's table, so only the last call counts. */
			if (next->arg2 != address || next->nr != LHCALL_SET_PTE || next->arg1 != directory ||
			    data->hcall_status[cursor] == HCALL_FREE || done == HCALL_RING - 1)
				set_pte(directory, address, entry->arg3);
		} else {
			hypercall((const struct hypercall_entry *)&entry->nr);
		}
		*status = HCALL_FREE;
	}
	ring_moved(cursor);
}

void do_hypercalls(void)
{
	const struct registers *regs = guest.regs;
	const struct lguest_data *data = guest.data;

	record_arguments(regs);
	if (!data) {
		if (regs->eax != LHCALL_LGUEST_INIT)
			kill_guest("hypercall %u before LGUEST_INIT", regs->eax);
	} else if (data->hcall_status[guest.ring_cursor] != HCALL_FREE) {
		drain_ring();
	}
	if (regs->eax == LHCALL_SET_PTE) {
		mailbox->by_hypercall[LHCALL_SET_PTE]++;
		set_pte(regs->ebx, regs->ecx, regs->edx);
	} else if (regs->eax == LHCALL_FLUSH_ASYNC) {
		mailbox->by_hypercall[LHCALL_FLUSH_ASYNC]++;
	} else {
		hypercall((const struct hypercall_entry *)regs);
	}
}
