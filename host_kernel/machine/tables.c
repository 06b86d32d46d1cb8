/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU's descriptor tables: the Host's GDT, IDT and TSS, and the fixed part of the Guest's (in the state page).
 * Read before: host_kernel/core/main.c.  Read next: entries.S.
 * Next in the book: entries.S.
 */
#include "host_kernel/machine/tables.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/descriptor.h"
#include "host_kernel/base/host.h"
#include "host_kernel/base/routines.h"
#include "host_kernel/base/sections.h"
#include "host_kernel/machine/entries.h"

#define CODE_RING_0 0x00CF9B000000FFFFull /* flat, and accessed: the CPU need not write the descriptor */
#define GATE_INTERRUPT 0x8E00u
#define TSS_BUSY       (1ull << 41)
#define TSS_AVAILABLE  0x89ull /* present, type 9: a 32-bit TSS that is not busy */

/* For the classic Switcher; with the lean one the Host kernel runs on the Guest's tables. */
static u64 host_gdt[GDT_ENTRIES] HOT;
static u64 host_idt[IDT_ENTRIES];
static struct tss host_tss;
static u32 ldt_selector; /* that the CPU's LDT was loaded by: of the Guest's GDT */

/* Source: Intel SDM vol. 3, 8.2.2. */
static u64 tss_descriptor(u32 base)
{
	return (sizeof(struct tss) - 1) | ((u64)(base & 0xFFFFFF) << 16) | (TSS_AVAILABLE << 40) | ((u64)(base >> 24) << 56);
}

/* An interrupt gate to ring 0, which int may use from rings 0 to dpl. */
u64 gate_to(u32 handler, u32 dpl)
{
	return ((u64)((handler & 0xFFFF0000) | GATE_INTERRUPT | dpl << 13) << 32) | (HOST_CS << 16) | (handler & 0xFFFF);
}

static void set_gate(u32 vector, u32 handler)
{
	host_idt[vector] = gate_to(handler, 0);
}

static void host_tables(void)
{
	host_gdt[GDT_HOST_CS] = CODE_RING_0;
	host_gdt[GDT_HOST_DS] = DATA_RING_0;
	host_gdt[GDT_TSS] = tss_descriptor((u32)&host_tss);
	host_tss.io_bitmap = sizeof(host_tss);
	for (u32 vector = 0; vector < EXCEPTIONS; vector++)
		set_gate(vector, exception_entries[vector]);
	set_gate(TRAP_DEBUG, (u32)debug_entry);
	set_gate(TRAP_NMI, (u32)ignore_entry);
	set_gate(VECTOR_TIMER, (u32)timer_entry);
	set_gate(VECTOR_DOORBELL, (u32)doorbell_entry);
	set_gate(VECTOR_SPURIOUS, (u32)ignore_entry);

	state->host_gdt = (struct table_register){ 0, sizeof(host_gdt) - 1, (u32)host_gdt };
	state->host_idt = (struct table_register){ 0, sizeof(host_idt) - 1, (u32)host_idt };
	state->host_gdt_base = (u32)host_gdt;
}

/* Load them into the CPU. */
void tables_load(void)
{
	struct table_register writable = { 0, sizeof(state->gdt) - 1, (u32)state->gdt };

	if (is_lean()) {
		state->gdt[GDT_TSS] &= ~TSS_BUSY;
		load_tables(&writable, &state->guest_idt); /* through the writable mapping: ltr marks the TSS as busy */
		load_gdt(&state->kernel_gdt);
	} else {
		host_gdt[GDT_TSS] &= ~TSS_BUSY;
		load_tables(&state->host_gdt, &state->host_idt);
	}
	load_ldt_register(ldt_selector);
}

void tables_load_ldt(u32 selector)
{
	ldt_selector = selector;
	load_ldt_register(selector);
}

void tables_init(void)
{
	state->host_cr3 = read_cr3();
	state->kernel_gdt = (struct table_register){ 0, sizeof(state->gdt) - 1,
						     SWITCHER_STATE_PAGE + offsetof(struct lguest_state, gdt) };
	state->user_gdt = (struct table_register){ 0, sizeof(state->gdt_user) - 1,
						   SWITCHER_STATE_PAGE + offsetof(struct lguest_state, gdt_user) };
	state->guest_gdt = state->kernel_gdt;
	state->guest_idt = (struct table_register){ 0, sizeof(state->idt) - 1,
						    SWITCHER_STATE_PAGE + offsetof(struct lguest_state, idt) };
	state->gdt[GDT_HOST_CS] = CODE_RING_0;
	state->gdt[GDT_HOST_DS] = DATA_RING_0;
	state->gdt[GDT_TSS] = tss_descriptor(SWITCHER_STATE_PAGE + offsetof(struct lguest_state, guest_tss));
	for (u32 entry = 0; entry < GDT_ENTRIES; entry++)
		state->gdt_user[entry] = state->gdt[entry];
	state->guest_tss.ss0 = HOST_DS;
	state->guest_tss.esp0 = SWITCHER_STACK_PAGE + PAGE_BYTES;
	state->guest_tss.io_bitmap = sizeof(struct tss);
	state->ring_status = SWITCHER_STATE_PAGE + offsetof(struct lguest_state, no_ring);

	if (is_lean())
		state->host_gdt = state->kernel_gdt;
	else
		host_tables();
	tables_load();

	/* The Guest may use the FPU and SSE; the Host kernel does not, so their state need not be saved. */
	write_cr0((read_cr0() | CR0_MP | CR0_NE | CR0_WP) & ~(CR0_EM | CR0_TS));
	__asm__ volatile("fninit");
}

/* Set a gate of the IDT that the CPU uses while the Guest runs. */
void guest_idt_set(u32 vector, u32 selector, u32 offset, u32 flags)
{
	state->idt[vector] = ((u64)((offset & 0xFFFF0000) | HIGH_P | flags) << 32) | (selector << 16) | (offset & 0xFFFF);
}

void guest_idt_to_switcher(u32 vector, u32 dpl)
{
	guest_idt_set(vector, HOST_CS, switcher_entries[vector], dpl | TYPE_INTERRUPT);
}

void guest_idt_init(void)
{
	for (u32 vector = 0; vector < IDT_ENTRIES; vector++)
		guest_idt_to_switcher(vector, 0);
}
