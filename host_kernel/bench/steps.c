/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of a world switch, each alone, in ring 0; and exits from the machine, which are measured in wall time.
 * The Switcher does each step once in each direction.
 * Read before: switcher/switcher.S.
 */
#include "host_kernel/bench/bench.h"

extern volatile u32 middle; /* common.S */
void middle_entry(void);

#define ROW(name, operation)                                                 \
	do {                                                                 \
		bench_begin();                                               \
		for (u32 round = 0; round < BENCH_ROUNDS; round++) {         \
			u32 took = BENCH_TIMED(operation);                   \
			if (round >= BENCH_WARM)                             \
				bench_add(took);                             \
		}                                                            \
		bench_print(name);                                           \
	} while (0)

static void load_tss(void)
{
	u8 *type = (u8 *)state->host_gdt_base + GDT_TSS * 8 + 5;

	__asm__ volatile("andb $0xFD, %0; ltr %1" : "+m"(*type) : "r"((u16)TSS_SEL)); /* ltr refuses a busy one */
}

static void load_segments(void)
{
	__asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%fs; movl %0, %%gs" : : "r"(HOST_DS));
}

static void turn_stack(void)
{
	u32 saved;

	__asm__ volatile("movl %%esp, %0; movl %0, %%esp" : "=m"(saved));
}

/* After a load of CR3: the pages that the Switcher uses in either world, and one of the Host kernel. */
static void refill(void)
{
	__asm__ volatile("testl %%eax, %0; testl %%eax, %1; testl %%eax, %2; testl %%eax, %3"
			 : : "m"(*(u32 *)SWITCHER_BASE), "m"(*(u32 *)SWITCHER_STACK_PAGE),
			 "m"(*(u32 *)SWITCHER_STATE_PAGE), "m"(guest.regs));
}

void steps_rows(void)
{
	u32 cr3 = read_cr3();

	set_host_gate(MIDDLE_VECTOR, (u32)middle_entry);
	ROW("step-stack", turn_stack());
	if (!is_lean()) {
		ROW("step-gdt", __asm__ volatile("lgdt %0" : : "m"(state->host_gdt.limit)));
		ROW("step-idt", __asm__ volatile("lidt %0" : : "m"(state->host_idt.limit)));
		ROW("step-tss", load_tss());
	}
	ROW("step-cr3", write_cr3(cr3));
	ROW("step-segments", load_segments());
	bench_begin();
	for (u32 round = 0; round < BENCH_ROUNDS; round++) {
		u32 took;

		write_cr3(cr3);
		took = BENCH_TIMED(refill());
		if (round >= BENCH_WARM)
			bench_add(took);
	}
	bench_print("step-refill");
	bench_begin();
	for (u32 round = 0; round < BENCH_ROUNDS; round++) {
		u32 start = bench_ticks();

		__asm__ volatile("int %0" : : "i"(MIDDLE_VECTOR) : "eax", "edx", "memory");
		if (round >= BENCH_WARM)
			bench_add(middle - start);
	}
	bench_print("step-int");
	bench_begin();
	for (u32 round = 0; round < BENCH_ROUNDS; round++) {
		u32 end;

		__asm__ volatile("int %0" : : "i"(MIDDLE_VECTOR) : "eax", "edx", "memory");
		end = bench_ticks();
		if (round >= BENCH_WARM)
			bench_add(end - middle);
	}
	bench_print("step-iret");
}

static void ask_cpu(void)
{
	u32 leaf = 0;

	__asm__ volatile("cpuid" : "+a"(leaf) : : "ebx", "ecx", "edx");
}

/* KVM handles cpuid; the Launcher handles a byte for the debug port. */
void wall_rows(void)
{
	ROW("exit-kvm", ask_cpu());
	ROW("exit-python", outb(machine.debug_port, '.'));
}
