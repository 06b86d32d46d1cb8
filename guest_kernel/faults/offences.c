/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breaking the rules of the ABI, one rule each. The Host has to end the Guest, with a reason, at the latest when
 * what was asked for is used.
 */
#include "guest_kernel/faults/offences.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/tasks/tasks.h"
#include "guest_kernel/cpu/traps.h"

#define SOMEWHERE 0x10000000

static u32 beyond_memory(void)
{
	return memory_ram() + LGUEST_DEVICE_PAGES * PAGE;
}

static void touch(u32 address)
{
	(void)*(volatile u32 *)address;
}

/* A directory of our own to do harm in. */
static u32 enter_directory(void)
{
	u32 directory = directory_new();
	current->directory = directory;
	hypercall(LHCALL_NEW_PGTABLE, directory, 0, 0, 0);
	return directory;
}

static void bad_stack(void)
{
	__asm__ volatile("movl $0x1000, %esp; ud2");
}

static void bad_hypercall(void)
{
	hypercall(99, 0, 0, 0, 0);
}

static void bad_async(void)
{
	hypercall_async(3, 0, 0, 0, 0);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

static void init_twice(void)
{
	hypercall(LHCALL_LGUEST_INIT, physical(&lguest_data), 0, 0, 0);
}

static void bad_directory(void)
{
	hypercall(LHCALL_NEW_PGTABLE, beyond_memory(), 0, 0, 0);
	touch(SOMEWHERE);
}

static void bad_flags(void)
{
	u32 directory = enter_directory(), slot = SOMEWHERE >> 22;
	directory_words(directory)[slot] = PTE_PRESENT | PTE_WRITE | 0x80; /* a page of 4 MiB */
	hypercall(LHCALL_SET_PGD, directory, slot, 0, 0);
	touch(SOMEWHERE);
}

static void large_page(void)
{
	page_set(enter_directory(), SOMEWHERE, frame_need() | PTE_PRESENT | 0x80);
	touch(SOMEWHERE);
}

static void beyond_ram(void)
{
	page_set(enter_directory(), SOMEWHERE, beyond_memory() | PTE_PRESENT | PTE_WRITE);
	touch(SOMEWHERE);
}

static void table_beyond_ram(void)
{
	u32 directory = enter_directory(), slot = SOMEWHERE >> 22;
	directory_words(directory)[slot] = beyond_memory() | PTE_PRESENT | PTE_WRITE;
	hypercall(LHCALL_SET_PGD, directory, slot, 0, 0);
	touch(SOMEWHERE);
}

static void switcher_page(void)
{
	hypercall(LHCALL_SET_PTE, enter_directory(), SWITCHER_BASE, frame_need() | PTE_PRESENT | PTE_WRITE, 0);
}

static void switcher_table(void)
{
	u32 directory = enter_directory();
	directory_words(directory)[SWITCHER_SLOT] = frame_need() | PTE_PRESENT | PTE_WRITE;
	hypercall(LHCALL_SET_PGD, directory, SWITCHER_SLOT, 0, 0);
}

static void call_gate(void)
{
	hypercall(LHCALL_LOAD_GDT_ENTRY, GDT_TEST, HOST_CS << 16, 0xEC00, 0); /* to the Host's code segment, DPL 3 */
}

static void tls_call_gate(void)
{
	static u32 gates[TLS_COUNT * 2];
	gates[0] = HOST_CS << 16;
	gates[1] = 0xEC00;
	hypercall(LHCALL_LOAD_TLS, physical(gates), 0, 0, 0);
}

static void gdt_index(void)
{
	segment_load(GDT_ENTRIES, 0, SEGMENT_FLAT, SEGMENT_DATA);
}

static void idt_index(void)
{
	trap_gate(IDT_ENTRIES, trap_system_call, GATE_TRAP);
}

static void task_gate(void)
{
	trap_gate(40, trap_system_call, 0x85);
}

static void no_handler(void)
{
	trap_gate(TRAP_UNDEFINED, NULL, 0);
	__asm__ volatile("ud2");
}

static void stack_ring(void)
{
	hypercall(LHCALL_SET_STACK, HOST_DS, current->trap_esp, 2, 0);
}

static void stack_pages(void)
{
	hypercall(LHCALL_SET_STACK, GUEST_DS, current->trap_esp, 3, 0);
}

const struct offence offences[] = {
	{ "stack", "trap on a stack that is not mapped", bad_stack },
	{ "bad-hypercall", "a hypercall with a number that does not exist", bad_hypercall },
	{ "bad-async", "the same in the asynchronous ring", bad_async },
	{ "init-twice", "LGUEST_INIT again", init_twice },
	{ "bad-directory", "NEW_PGTABLE of a page beyond memory", bad_directory },
	{ "bad-flags", "a directory entry for a page of 4 MiB", bad_flags },
	{ "large-page", "the same flag in a page table", large_page },
	{ "beyond-ram", "map a frame beyond RAM and device pages", beyond_ram },
	{ "table-beyond-ram", "a page table beyond RAM and device pages", table_beyond_ram },
	{ "switcher-map", "SET_PTE in the Switcher's 4 MiB", switcher_page },
	{ "switcher-table", "SET_PGD of the Switcher's slot", switcher_table },
	{ "call-gate", "a call gate to ring 0 in the GDT", call_gate },
	{ "tls-call-gate", "the same by LOAD_TLS", tls_call_gate },
	{ "gdt-index", "a GDT entry above 31", gdt_index },
	{ "idt-index", "an IDT entry above 255", idt_index },
	{ "task-gate", "a task gate in the IDT", task_gate },
	{ "no-handler", "a trap whose IDT entry is empty", no_handler },
	{ "stack-ring", "SET_STACK of a segment that is not ring 1's", stack_ring },
	{ "stack-pages", "SET_STACK of three pages", stack_pages },
};
const u32 offence_count = sizeof(offences) / sizeof(offences[0]);
