/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Violations of the hypercall interface, one rule each. The Host has to end the Guest with a reason: at once, or when
 * the Guest uses what it asked for.
 *
 * Read next: host_kernel/lguest/hypercalls.c, which checks them.
 */
#include "guest_kernel/faults/violations.h"
#include "guest_kernel/base/layout.h"
#include "guest_kernel/cpu/frame.h"
#include "guest_kernel/cpu/hypercall.h"
#include "guest_kernel/cpu/hypercall_ring.h"
#include "guest_kernel/cpu/idt.h"
#include "guest_kernel/cpu/segments.h"
#include "guest_kernel/memory/frames.h"
#include "guest_kernel/memory/paging.h"
#include "guest_kernel/tasks/task_table.h"
#include "guest_kernel/traps/traps.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

#define UNMAPPED           0x10000000
#define UNMAPPED_SLOT      (UNMAPPED >> PDE_SHIFT)
#define UNKNOWN_CALL       99 /* no hypercall has these numbers */
#define UNKNOWN_CALL_ASYNC 3
#define CALL_GATE          0xEC00 /* the second word of a descriptor: present, DPL 3, 32-bit call gate */
#define SOME_VECTOR        40

static u32 beyond_memory(void)
{
	return memory_ram() + LGUEST_DEVICE_PAGES * PAGE_SIZE;
}

static void touch(u32 address)
{
	(void)*(volatile u32 *)address;
}

/* A new page directory, so that the kernel's stays intact up to the violation. */
static u32 enter_new_directory(void)
{
	u32 directory = page_directory_new();
	current->directory = directory;
	hypercall(LHCALL_NEW_PGTABLE, directory, 0, 0, 0);
	return directory;
}

static void bad_stack(void)
{
	__asm__ volatile("movl %0, %%esp; ud2" : : "i"(UNMAPPED));
}

static void bad_hypercall(void)
{
	hypercall(UNKNOWN_CALL, 0, 0, 0, 0);
}

static void bad_async(void)
{
	hypercall_async(UNKNOWN_CALL_ASYNC, 0, 0, 0, 0);
	hypercall(LHCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

static void init_twice(void)
{
	hypercall(LHCALL_LGUEST_INIT, physical(&lguest_data), 0, 0, 0);
}

static void bad_directory(void)
{
	hypercall(LHCALL_NEW_PGTABLE, beyond_memory(), 0, 0, 0);
	touch(UNMAPPED);
}

static void bad_flags(void)
{
	u32 directory = enter_new_directory(), slot = UNMAPPED_SLOT;
	page_directory_entries(directory)[slot] = PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	hypercall(LHCALL_SET_PGD, directory, slot, 0, 0);
	touch(UNMAPPED);
}

static void large_page(void)
{
	pte_set(enter_new_directory(), UNMAPPED, frame_need() | PTE_PRESENT | PTE_LARGE);
	touch(UNMAPPED);
}

static void beyond_ram(void)
{
	pte_set(enter_new_directory(), UNMAPPED, beyond_memory() | PTE_PRESENT | PTE_WRITE);
	touch(UNMAPPED);
}

static void table_beyond_ram(void)
{
	u32 directory = enter_new_directory(), slot = UNMAPPED_SLOT;
	page_directory_entries(directory)[slot] = beyond_memory() | PTE_PRESENT | PTE_WRITE;
	hypercall(LHCALL_SET_PGD, directory, slot, 0, 0);
	touch(UNMAPPED);
}

static void switcher_page(void)
{
	hypercall(LHCALL_SET_PTE, enter_new_directory(), SWITCHER_BASE, frame_need() | PTE_PRESENT | PTE_WRITE, 0);
}

static void switcher_table(void)
{
	u32 directory = enter_new_directory();
	page_directory_entries(directory)[SWITCHER_SLOT] = frame_need() | PTE_PRESENT | PTE_WRITE;
	hypercall(LHCALL_SET_PGD, directory, SWITCHER_SLOT, 0, 0);
}

static void call_gate(void)
{
	hypercall(LHCALL_LOAD_GDT_ENTRY, GDT_TEST, HOST_CS << 16, CALL_GATE, 0);
}

static void tls_call_gate(void)
{
	static u32 gates[TLS_COUNT * 2];
	gates[0] = HOST_CS << 16;
	gates[1] = CALL_GATE;
	hypercall(LHCALL_LOAD_TLS, physical(gates), 0, 0, 0);
}

static void gdt_index(void)
{
	segment_load(GDT_ENTRIES, 0, SEGMENT_FLAT, SEGMENT_DATA);
}

static void idt_index(void)
{
	idt_set_gate(IDT_ENTRIES, trap_system_call, GATE_TRAP);
}

static void task_gate(void)
{
	idt_set_gate(SOME_VECTOR, trap_system_call, GATE_TASK);
}

static void no_handler(void)
{
	idt_set_gate(TRAP_UNDEFINED, NULL, 0);
	__asm__ volatile("ud2");
}

static void stack_ring(void)
{
	hypercall(LHCALL_SET_STACK, HOST_DS, current->trap_esp, STACK_PAGES, 0);
}

static void stack_pages(void)
{
	hypercall(LHCALL_SET_STACK, GUEST_DS, current->trap_esp, STACK_PAGES + 1, 0);
}

const struct violation violations[] = {
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
	{ "stack-ring", "SET_STACK of a segment of another ring", stack_ring },
	{ "stack-pages", "SET_STACK of three pages", stack_pages },
};
const u32 violation_count = sizeof(violations) / sizeof(violations[0]);
