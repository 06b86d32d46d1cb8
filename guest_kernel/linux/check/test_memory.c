/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory as a program has it: copied on write, protected, moved, shared, of a file; and code that is stored to. */
#include "guest_kernel/linux/check/probe.h"

#define COUNT 64
#define AT_SYSINFO 32

static void fill(u32 *words, u32 count, u32 seed)
{
	for (u32 page = 0; page < count; page++)
		for (u32 index = 0; index < PAGE / 4; index += 64)
			words[page * PAGE / 4 + index] = seed ^ (page << 16 | index);
}

static bool filled(const u32 *words, u32 count, u32 seed)
{
	for (u32 page = 0; page < count; page++)
		for (u32 index = 0; index < PAGE / 4; index += 64)
			if (words[page * PAGE / 4 + index] != (seed ^ (page << 16 | index)))
				return false;
	return true;
}

CHECK(copied, "memory-copy-on-write")
{
	u32 *words = pages(COUNT);
	s32 child, grandchild;

	HOLDS(!map_failed(words));
	fill(words, COUNT, 1);
	for (u32 turn = 0; turn < 5; turn++) {
		child = fork();
		if (!child) {
			HOLDS(filled(words, COUNT, 1));
			fill(words, COUNT / 2, 2);
			grandchild = fork();
			if (!grandchild) {
				fill(words, COUNT, 3);
				HOLDS(filled(words, COUNT, 3));
				leave(0);
			}
			SAME("the grandchild", 0, check_child(grandchild));
			HOLDS(filled(words, COUNT / 2, 2));
			SAME("what nobody wrote", 1 ^ COUNT / 2 << 16, words[COUNT / 2 * PAGE / 4]);
			leave(0);
		}
		SAME("the child", 0, check_child(child));
		HOLDS(filled(words, COUNT, 1));
	}
}

CHECK(protected, "memory-protect")
{
	u32 *words = pages(4);

	HOLDS(!map_failed(words));
	fill(words, 4, 5);
	for (u32 turn = 0; turn < 100; turn++) {
		SAME("mprotect()", 0, mprotect(words, 4 * PAGE, PROT_READ));
		HOLDS(filled(words, 4, 5 + turn));
		SAME("a store", SIGSEGV, fault_writing(words + turn % 4 * (PAGE / 4)).signal);
		SAME("mprotect()", 0, mprotect(words, 4 * PAGE, PROT_NONE));
		SAME("a read", SIGSEGV, fault_reading(words + turn % 4 * (PAGE / 4)).signal);
		SAME("mprotect()", 0, mprotect(words, 4 * PAGE, PROT_READ | PROT_WRITE));
		fill(words, 4, 6 + turn);
	}
}

CHECK(mapped, "memory-map")
{
	u32 *words = pages(COUNT), *moved;
	s32 file = open("/proc/self/exe", O_RDONLY);
	u8 *text;

	HOLDS(!map_failed(words));
	fill(words, COUNT, 7);
	HOLDS(!map_failed(mmap(words + COUNT / 2 * PAGE / 4, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0))); /* nothing may be put behind it now */
	SAME("a new page in the middle", 0, words[COUNT / 2 * PAGE / 4]);
	moved = mremap(words, COUNT / 2 * PAGE, COUNT * PAGE, MREMAP_MAYMOVE);
	HOLDS(!map_failed(moved) && moved != words);
	HOLDS(filled(moved, COUNT / 2, 7));
	SAME("what it grew by", 0, moved[(COUNT - 1) * PAGE / 4]);
	SAME("where it was", SIGSEGV, fault_reading(words).signal);
	for (u32 turn = 0; turn < 100; turn++) {
		u32 *again = pages(8);

		HOLDS(!map_failed(again));
		SAME("fresh memory", 0, again[turn % 8 * (PAGE / 4)]);
		fill(again, 8, turn);
		HOLDS(filled(again, 8, turn));
		SAME("munmap()", 0, munmap(again, 8 * PAGE));
		SAME("what was unmapped", SIGSEGV, fault_reading(again).signal);
	}
	HOLDS(file >= 0);
	text = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	HOLDS(!map_failed(text));
	HOLDS(!memcmp(text, "\177ELF", 4));
	text[0] = 'x';
	SAME("close()", 0, close(file));
	text = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open("/proc/self/exe", O_RDONLY), 0);
	SAME("a private store is not in the file", 0x7F, text[0]);
}

CHECK(shared, "memory-shared")
{
	volatile u32 *words = shared_pages(2);
	s32 child;

	HOLDS(!map_failed((void *)words));
	child = fork();
	if (!child) {
		for (u32 turn = 0; turn < 100; turn++) {
			HOLDS(WAIT_FOR(words[0] == turn * 2 + 1));
			words[PAGE / 4] = turn;
			words[0]++;
		}
		leave(0);
	}
	for (u32 turn = 0; turn < 100; turn++) {
		words[0]++;
		HOLDS(WAIT_FOR(words[0] == turn * 2 + 2));
		SAME("what the other one wrote", turn, words[PAGE / 4]);
	}
	SAME("the child", 0, check_child(child));
}

CHECK(much, "memory-much")
{
	u32 count = 16 << 20 >> 12, *words = pages(count), place = 1;

	HOLDS(!map_failed(words));
	for (u32 turn = 0; turn < count; turn++) { /* each page once, in no order: 4096 is a power of two */
		place = (place * 5 + 1229) % count;
		SAME("fresh memory", 0, words[place * (PAGE / 4)]);
		words[place * (PAGE / 4)] = place ^ 0xABCD;
	}
	for (u32 page = 0; page < count; page++)
		SAME("what was written", page ^ 0xABCD, words[page * (PAGE / 4)]);
}

/* movl $value, %eax; ret */
static void write_code(u8 *place, u32 value)
{
	place[0] = 0xB8;
	memcpy(place + 1, &value, 4);
	place[5] = 0xC3;
}

static u32 call(const u8 *code)
{
	return ((u32(*)(void))(u32)code)();
}

CHECK(modified, "memory-code")
{
	u8 *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *twice = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *other;

	HOLDS(!map_failed(code) && !map_failed(twice));
	for (u32 value = 0; value < 500; value++) {
		write_code(code, value);
		SAME("code just written", value, call(code));
	}
	other = mremap(twice, 0, PAGE, MREMAP_MAYMOVE); /* the same page once more */
	HOLDS(!map_failed(other) && other != twice);
	SAME("mprotect()", 0, mprotect(other, PAGE, PROT_READ | PROT_EXEC));
	for (u32 value = 0; value < 100; value++) {
		write_code(twice, value);
		SAME("code written by its other address", value, call(other));
	}
	for (u32 value = 0; value < 20; value++) {
		SAME("mprotect()", 0, mprotect(code, PAGE, PROT_READ | PROT_WRITE));
		write_code(code, ~value);
		SAME("mprotect()", 0, mprotect(code, PAGE, PROT_READ | PROT_EXEC));
		SAME("code that was protected again", ~value, call(code));
	}
}

CHECK(system_page, "memory-system-page")
{
	u32 entry = auxiliary(check_environment, AT_SYSINFO), pid;

	HOLDS(entry);
	__asm__ volatile("call *%1" : "=a"(pid) : "r"(entry), "0"(NR_GETPID) : "memory", "cc");
	SAME("a system call by the kernel's own page", getpid(), pid);
}
