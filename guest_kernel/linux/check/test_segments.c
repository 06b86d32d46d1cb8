/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The LDT: data, 32-bit and 16-bit code, a 16-bit stack; used, changed and removed.  Source: Intel SDM vol. 3, 3.4.5. */
#include "guest_kernel/linux/check/probe.h"

#define LDT_SELECTOR(number) ((number) << 3 | 7u)
#define SPIN_MS 100

static struct segment entry(u32 number, void *base, u32 contents, bool is_32_bit)
{
	return (struct segment){ number, (u32)base, 0xFFFF, is_32_bit, contents, 0, 0, 0, 1 };
}

static void write_entry(struct segment segment)
{
	SAME("modify_ldt()", 0, ldt_write(&segment));
}

static void remove_entry(u32 number)
{
	write_entry((struct segment){ number, 0, 0, 0, 0, 1, 0, 1, 0 });
}

static u32 read_by_fs(u32 selector)
{
	u32 value;

	__asm__ volatile("movl %1, %%fs; movl %%fs:4, %0" : "=r"(value) : "r"(selector) : "memory");
	return value;
}

PROBED(loads_fs, "movl %%eax, %%fs")
PROBED(reads_fs, "movl %%fs:0, %%ecx")
PROBED(writes_fs, "movl %%eax, %%fs; movl $101f, probe_at; 101: movl %%eax, %%fs:0")
PROBED(loads_ss, "movl %%eax, %%ss")

CHECK(data, "segments-ldt-data")
{
	static u32 words[4] = { 10, 20, 30, 40 };
	struct segment absent = entry(2, words, SEGMENT_DATA, true);
	struct fault got;
	s32 child;

	write_entry(entry(0, words, SEGMENT_DATA, true));
	write_entry(entry(1, words + 1, SEGMENT_DATA, true));
	SAME("entry 0", 20, read_by_fs(LDT_SELECTOR(0)));
	SAME("entry 1", 30, read_by_fs(LDT_SELECTOR(1)));
	yield_cpu();
	sleep_ms(5);
	SAME("entry 1, later", 30, read_by_fs(LDT_SELECTOR(1)));
	child = fork();
	if (!child) {
		SAME("entry 0 in a child", 20, read_by_fs(LDT_SELECTOR(0)));
		write_entry(entry(0, words + 2, SEGMENT_DATA, true));
		SAME("the child's own", 40, read_by_fs(LDT_SELECTOR(0)));
		leave(0);
	}
	SAME("the child", 0, check_child(child));
	SAME("entry 0 of the parent", 20, read_by_fs(LDT_SELECTOR(0)));
	write_entry(entry(700, words + 2, SEGMENT_DATA, true));
	SAME("an entry in the second page", 40, read_by_fs(LDT_SELECTOR(700)));
	write_entry(entry(0, words + 1, SEGMENT_DATA, true));
	SAME("entry 0, changed", 30, read_by_fs(LDT_SELECTOR(0)));

	absent.read_only = 1;
	write_entry(absent);
	got = fault_of(writes_fs, LDT_SELECTOR(2));
	if (got.signal) {
		SAME("a store to a read-only segment", SIGSEGV, got.signal);
		SAME("its trap", 13, got.trap);
	} else {
		check_note("a read-only segment can be stored to");
	}
	absent.read_only = 0;
	absent.absent = 1;
	write_entry(absent);
	got = fault_of(loads_fs, LDT_SELECTOR(2));
	SAME("a load of a segment that is not present", SIGBUS, got.signal);
	SAME("its trap", 11, got.trap);
	SAME("its error", LDT_SELECTOR(2) & ~3u, got.error);
	got = fault_of(loads_ss, LDT_SELECTOR(2));
	SAME("the same as a stack", SIGBUS, got.signal);
	SAME("its trap", 12, got.trap);
	SAME("its error", LDT_SELECTOR(2) & ~3u, got.error);

	remove_entry(1);
	got = fault_of(loads_fs, LDT_SELECTOR(1));
	SAME("a load of what was removed", SIGSEGV, got.signal);
	SAME("its error", LDT_SELECTOR(1) & ~3u, got.error);
	__asm__ volatile("movl %0, %%fs" : : "r"(LDT_SELECTOR(0)));
	remove_entry(0); /* while it is loaded: then it is null, at the latest after the next switch */
	sleep_ms(5);
	got = fault_of(reads_fs, 0);
	SAME("a use of what was removed", SIGSEGV, got.signal);
}

/* A far call into the code at `place`, which has its own segment; what it leaves in eax. */
static u32 far_call(u32 selector)
{
	struct { u32 offset; u16 selector; } __attribute__((packed)) pointer = { 0, (u16)selector };
	u32 value;

	__asm__ volatile("lcall *%1" : "=a"(value) : "m"(pointer) : "ecx", "edx", "memory", "cc");
	return value;
}

static void calls_far(u32 selector)
{
	far_call(selector);
}

extern u8 code_32[], code_32_end[], code_16[], code_16_end[];
__asm__(".text\n"
	"code_32: movl $20, %eax; int $0x80; movl %eax, %ecx; movl $0x12345678, %eax; xorl %ecx, %eax; lret\ncode_32_end:\n"
	".code16\n"
	"code_16: movw $1000, %cx; movl $0x11110000, %eax; 1: incl %eax; loop 1b; pushl %eax; movl $20, %eax; int $0x80\n"
	"popl %eax; lretl\ncode_16_end:\n"
	".code32");

CHECK(code, "segments-ldt-code")
{
	u8 *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct fault got;

	HOLDS(!map_failed(page));
	memcpy(page, code_32, (u32)(code_32_end - code_32));
	memcpy(page + 256, code_16, (u32)(code_16_end - code_16));
	write_entry(entry(0, page, SEGMENT_CODE, true));
	write_entry(entry(1, page + 256, SEGMENT_CODE, false));
	for (u32 turn = 0; turn < 20; turn++) {
		SAME("32-bit code", 0x12345678 ^ (u32)getpid(), far_call(LDT_SELECTOR(0)));
		SAME("16-bit code", 0x11110000 + 1000, far_call(LDT_SELECTOR(1)));
		yield_cpu();
	}
	remove_entry(0);
	got = fault_of(calls_far, LDT_SELECTOR(0));
	SAME("a call of what was removed", SIGSEGV, got.signal);
	SAME("its error", LDT_SELECTOR(0) & ~3u, got.error);
	SAME("16-bit code, still", 0x11110000 + 1000, far_call(LDT_SELECTOR(1)));
}

/* Spins on a 16-bit stack for a while; what esp is then, in whole. */
static u32 spin_on(u32 selector, u32 esp, u32 turns)
{
	u32 after;

	__asm__ volatile("movl %%esp, %%edx; movl %%ss, %%ebx\n\t"
			 "movl %2, %%ss; movl %1, %%esp\n\t"
			 "1: decl %3; jnz 1b\n\t"
			 "movl $20, %%eax; int $0x80\n\t"
			 "movl %%esp, %0\n\t"
			 "movl %%ebx, %%ss; movl %%edx, %%esp"
			 : "=&S"(after) : "D"(esp), "c"(selector), "a"(turns) : "ebx", "edx", "memory", "cc");
	return after;
}

CHECK(stack, "segments-16-bit-stack")
{
	u8 *stack = pages(16);
	u64 from = clock_ns();
	u32 esp, after;

	HOLDS(!map_failed(stack));
	write_entry(entry(0, stack, SEGMENT_DATA, false));
	esp = ((u32)stack & 0xFFFF0000) | 0x8000;
	while (clock_ns() - from < SPIN_MS * 1000000ull) {
		after = spin_on(LDT_SELECTOR(0), esp, 20000);
		SAME("esp", esp, after);
	}
}

static struct { u32 cs, ss, esp; } bad;
static void returns_badly(s32 signal, struct signal_info *info, struct signal_context *context)
{
	(void)signal;
	(void)info;
	context->cs = bad.cs;
	context->ss = bad.ss;
	context->esp = bad.esp;
}

/* The kernel's iret to a program faults, on the stack that the kernel has for a program with a 16-bit one. */
CHECK(returns, "segments-bad-return")
{
	struct segment absent = entry(2, NULL, SEGMENT_CODE, true), data_absent = entry(3, NULL, SEGMENT_DATA, false);
	static const struct { const char *what; u32 cs, ss; } rows[] = {
		{ "an empty entry as cs", 0x4F, LDT_SELECTOR(0) },
		{ "data as cs", 0x7B, LDT_SELECTOR(0) },
		{ "an absent segment as cs", LDT_SELECTOR(2), LDT_SELECTOR(0) },
		{ "the stack as cs", LDT_SELECTOR(0), LDT_SELECTOR(0) },
		{ "no entry as cs", LDT_SELECTOR(100), LDT_SELECTOR(0) },
		{ "eip beyond the end of cs", LDT_SELECTOR(1), LDT_SELECTOR(0) },
		{ "an empty entry as ss", 0x73, 0x4F },
		{ "code as ss", 0x73, 0x73 },
		{ "an absent segment as ss", 0x73, LDT_SELECTOR(3) },
		{ "the same, and 16-bit code", LDT_SELECTOR(1), LDT_SELECTOR(3) },
	};
	u8 *stack = pages(16);

	HOLDS(!map_failed(stack));
	write_entry(entry(0, stack, SEGMENT_DATA, false));
	write_entry(entry(1, stack, SEGMENT_CODE, false));
	absent.absent = data_absent.absent = 1;
	write_entry(absent);
	write_entry(data_absent);
	for (u32 index = 0; index < sizeof(rows) / sizeof(*rows); index++) {
		s32 child = fork(), end;

		if (!child) {
			bad.cs = rows[index].cs;
			bad.ss = rows[index].ss;
			bad.esp = (u32)stack + 0x8000;
			signal_handle(SIGUSR1, returns_badly, 0, 0);
			kill(getpid(), SIGUSR1);
			leave(0);
		}
		end = check_child(child);
		if (end == 256 + SIGSEGV && rows[index].cs == LDT_SELECTOR(1) && rows[index].ss == LDT_SELECTOR(0))
			check_note("eip may be beyond the end of cs"); /* TCG does not check limits */
		else
			SAME(rows[index].what, 256 + SIGILL, end);
	}
}

/* lar and lsl tell of a segment whether it is present or not. */
CHECK(tells, "segments-ldt-rights")
{
	static const struct { u32 contents, rights; } kinds[] = { { SEGMENT_DATA, 0x407200 }, { SEGMENT_CODE, 0x407A00 } };

	for (u32 kind = 0; kind < 2; kind++) {
		struct segment segment = entry(0, NULL, kinds[kind].contents, true);
		u32 rights = 0, limit = 0;

		for (u32 absent = 0; absent < 2; absent++) {
			segment.absent = absent;
			write_entry(segment);
			__asm__ volatile("lar %2, %0; lsl %2, %1" : "+r"(rights), "+r"(limit) : "r"(LDT_SELECTOR(0)) : "cc");
			SAME("its rights", kinds[kind].rights | (absent ? 0 : 0x8000), rights & 0xE0FE00);
			SAME("its limit", 0xFFFF, limit);
		}
	}
}
