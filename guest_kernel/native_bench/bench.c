/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an unmodified kernel pays for instructions that only ring 0 may execute: each row is one of them, in ring 1
 * under the native personality. Page tables map the first 4 MiB twice: there and where a kernel of Linux's would be.
 *
 * Read next: host_kernel/native/emulate.c, where they are done; switcher/switcher.S for those that stay there.
 */
#include "guest_kernel/bench/bench_samples.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/memory/layout.h"
#undef USER_CS
#undef USER_DS
#include "guest_kernel/console/print.h"
#include "host_kernel/base/cpu.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/lguest_pages.h"
#include "switcher/layouts/machine.h"
#include "guest_kernel/native_bench/native.h"

#define SERIAL_PORT 0x3F8
#define SCRATCH     7 /* a register of the 16550 that does nothing */
#define GATE_TRAP      0x8F00u
#define GATE_INTERRUPT 0x8E00u
#define GATE_DPL3      0x6000u
#define PRESENT_WRITE 3u
#define PRESENT_WRITE_USER 7u

struct pointer {
	u16 limit;
	u32 base;
} __attribute__((packed));

u32 tss[26] __attribute__((aligned(128)));
static u64 gdt[8] __attribute__((aligned(4096))) = {
	[KERNEL_CS / 8] = 0x00CF9B000000FFFF, [KERNEL_DS / 8] = 0x00CF93000000FFFF,
	[USER_CS / 8] = 0x00CFFB000000FFFF, [USER_DS / 8] = 0x00CFF3000000FFFF,
};
static u64 idt[256] __attribute__((aligned(4096)));
static u32 directories[2][1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));

/* For print.c. */
void console_write(const char *text, u32 count)
{
	for (u32 i = 0; i < count; i++)
		outb(SERIAL_PORT, (u8)text[i]);
}

static void power_off(void)
{
	__asm__ volatile("outw %0, %1" : : "a"((u16)(0x2000 | ACPI_SLEEP_TYPE_OFF << 10)), "Nd"((u16)ACPI_PM1_CONTROL));
	for (;;)
		__asm__ volatile("cli; hlt");
}

void native_trapped(u32 vector, const u32 *frame)
{
	print("trap %u: %x %x %x\n", vector, frame[0], frame[1], frame[2]);
	power_off();
	__builtin_unreachable();
}

static u64 gate(u32 address, u32 flags)
{
	return (u64)((address & 0xFFFF0000) | flags) << 32 | KERNEL_CS << 16 | (address & 0xFFFF);
}

static void cr3(u32 directory)
{
	__asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
}

static void tables_init(void)
{
	struct pointer gdtr = { sizeof(gdt) - 1, (u32)gdt }, idtr = { sizeof(idt) - 1, (u32)idt };
	u32 at = (u32)tss, cr0;
	for (u32 vector = 0; vector < 32; vector++)
		idt[vector] = gate(trap_entries[vector], GATE_INTERRUPT);
	idt[SYSTEM_CALL] = gate((u32)system_call_entry, GATE_TRAP | GATE_DPL3);
	gdt[TSS / 8] = (sizeof(tss) - 1) | (u64)(at & 0xFFFFFF) << 16 | 0x89ull << 40 | (u64)(at >> 24) << 56;
	tss[2] = KERNEL_DS;
	tss[25] = sizeof(tss) << 16;
	for (u32 page = 0; page < 1024; page++)
		table[page] = page << 12 | PRESENT_WRITE_USER;
	for (u32 i = 0; i < 2; i++) {
		directories[i][0] = (u32)table | PRESENT_WRITE_USER;
		directories[i][KERNEL_OFFSET >> 22] = (u32)table | PRESENT_WRITE;
	}
	cr3((u32)directories[0]);
	__asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | CR0_PG | CR0_WP));
	load_tables(&gdtr, &idtr);
}

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

void native_main(void)
{
	tables_init();
	ROW("clock", BENCH_TIMED());
	ROW("native-cli", BENCH_TIMED(__asm__ volatile("cli")));
	ROW("native-sti", BENCH_TIMED(__asm__ volatile("sti")));
	__asm__ volatile("cli");
	ROW("native-iret", to_program());
	ROW("native-iret-kernel", to_kernel());
	ROW("native-in", BENCH_TIMED(inb(SERIAL_PORT + SCRATCH)));
	ROW("native-out", BENCH_TIMED(outb(SERIAL_PORT + SCRATCH, 0)));
	ROW("native-cr3", BENCH_TIMED(cr3((u32)directories[round & 1])));
	print("BENCH done\n");
	power_off();
}
