/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What privileged instructions cost an unmodified kernel: each row is one instruction, executed in ring 1 under the
 * native personality. The page tables map the first 4 MiB at 0 and at LINUX_KERNEL.
 *
 * Read next: cpu.S; host_kernel/native/emulate.c for the emulation, switcher/switcher.S for the fast path.
 */
#include "guest_kernel/base/print.h"
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/native_bench/cpu.h"
#include "guest_kernel/native_bench/end.h"
#include "host_kernel/base/cpu.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/types.h"

#define LINUX_KERNEL 0xC0000000 /* where Linux maps its kernel */
#define PDE_SHIFT    22
#define PAGE_SHIFT   12
#define ENTRIES_PER_TABLE 1024

#define SERIAL_PORT     0x3F8
#define SERIAL_SCRATCH  7 /* the 16550's scratch register, which has no effect */

/* Flags of a gate, in its second word. */
#define GATE_TRAP      0x8F00u
#define GATE_INTERRUPT 0x8E00u
#define GATE_DPL3      0x6000u

/* Flags of a page table entry. */
#define PTE_KERNEL 3u /* present, writable */
#define PTE_ANY    7u /* the same for ring 3 */

/* Words of the TSS. */
#define TSS_SS0    2
#define TSS_IO_MAP 25
#define TSS_ACCESS 0x89ull /* present, available 32-bit TSS */

struct table_pointer {
	u16 limit;
	u32 base;
} __attribute__((packed));

static u64 gdt[8] __attribute__((aligned(4096))) = {
	[KERNEL_CS / 8] = 0x00CF9B000000FFFF, [KERNEL_DS / 8] = 0x00CF93000000FFFF,
	[USER_CS / 8] = 0x00CFFB000000FFFF, [USER_DS / 8] = 0x00CFF3000000FFFF,
};
static u64 idt[256] __attribute__((aligned(4096)));
static u32 directories[2][ENTRIES_PER_TABLE] __attribute__((aligned(4096)));
static u32 table[ENTRIES_PER_TABLE] __attribute__((aligned(4096)));

static void serial_write(const char *text, u32 count)
{
	for (u32 i = 0; i < count; i++)
		outb(SERIAL_PORT, (u8)text[i]);
}

static void serial_flush(void)
{
	/* The virtual port has no buffer. */
}

static u64 gate(u32 address, u32 flags)
{
	return (u64)((address & 0xFFFF0000) | flags) << 32 | KERNEL_CS << 16 | (address & 0xFFFF);
}

static void load_cr3(u32 directory)
{
	__asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
}

static void tables_init(void)
{
	struct table_pointer gdtr = { sizeof(gdt) - 1, (u32)gdt }, idtr = { sizeof(idt) - 1, (u32)idt };
	u32 at = (u32)tss, cr0;
	for (u32 vector = 0; vector < EXCEPTIONS; vector++)
		idt[vector] = gate(trap_entries[vector], GATE_INTERRUPT);
	idt[SYSTEM_CALL] = gate((u32)system_call_entry, GATE_TRAP | GATE_DPL3);
	gdt[TSS / 8] = (TSS_BYTES - 1) | (u64)(at & 0xFFFFFF) << 16 | TSS_ACCESS << 40 | (u64)(at >> 24) << 56;
	tss[TSS_SS0] = KERNEL_DS;
	tss[TSS_IO_MAP] = TSS_BYTES << 16; /* beyond the limit: there is none */
	for (u32 page = 0; page < ENTRIES_PER_TABLE; page++)
		table[page] = page << PAGE_SHIFT | PTE_ANY;
	for (u32 i = 0; i < 2; i++) {
		directories[i][0] = (u32)table | PTE_ANY;
		directories[i][LINUX_KERNEL >> PDE_SHIFT] = (u32)table | PTE_KERNEL;
	}
	load_cr3((u32)directories[0]);
	__asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | CR0_PG | CR0_WP));
	load_tables(&gdtr, &idtr);
}

/* Traps that the Switcher handled in its fast path. */
static u32 fast_paths(void)
{
	return ((volatile struct untrusted *)SWITCHER_STACK_PAGE)->fast_paths;
}

#define ROW(name, ticks)                                                               \
	do {                                                                           \
		u32 before = fast_paths();                                               \
		bench_begin();                                                         \
		for (u32 round = 0; round < BENCH_ROUNDS; round++) {                   \
			u32 took = ticks;                                              \
			if (round >= BENCH_WARM)                                       \
				bench_add(took);                                       \
		}                                                                      \
		before = (fast_paths() - before) / BENCH_ROUNDS;                         \
		bench_print(name);                                                     \
		if (before)                                                            \
			print("BENCH-COUNTS %s answered=%u\n", name, before);          \
	} while (0)

void native_main(void);

void native_main(void)
{
	static const struct print_sink serial = { serial_write, serial_flush };
	print_to(&serial);
	tables_init();
	ROW("clock", BENCH_TIMED());
	ROW("native-cli", BENCH_TIMED(__asm__ volatile("cli")));
	ROW("native-sti", BENCH_TIMED(__asm__ volatile("sti")));
	__asm__ volatile("cli");
	ROW("native-iret", iret_to_program());
	ROW("native-iret-kernel", iret_to_kernel());
	ROW("native-in", BENCH_TIMED(inb(SERIAL_PORT + SERIAL_SCRATCH)));
	ROW("native-out", BENCH_TIMED(outb(SERIAL_PORT + SERIAL_SCRATCH, 0)));
	ROW("native-cr3", BENCH_TIMED(load_cr3((u32)directories[round & 1])));
	print("BENCH done\n");
	native_power_off();
}
