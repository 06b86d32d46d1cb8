/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lab 2: a Guest that makes your hypercall.  Nothing is to be changed here.  Its command line: nothing; "far" or "edge", to
 * give the Host kernel an address at the end that it must refuse.
 *
 * Read before: README.md.  Read next: host_kernel/lguest/hypercalls.c, which is yours.
 */
#include "labs/small/small.h"

#define CALLS    100u
#define PAGES    100u
#define PAGE_SIZE 4096u
#define FRESH    0x800000u /* pages that nobody has used: the Host kernel has no shadow entries for them */
#define FAR      0xFFFFFFFEu
#define GUARD    0x5AFEC0DEu
#define E820_LENGTH 8 /* offset in an E820 entry */

static u32 words[3] = { GUARD, 0, GUARD };

static u32 switches(void)
{
	hypercall(LHCALL_SWITCHES, (u32)&words[1], 0, 0);
	return *(volatile u32 *)&words[1];
}

static u32 boot_word(u32 offset)
{
	__asm__("" : "+r"(offset)); /* struct boot_params is at 0, where a compiler expects nothing */
	return *(volatile u32 *)offset;
}

static void print_value(const char *what, u32 value)
{
	print(what);
	print_number(value);
	print("\n");
}

void guest_main(void)
{
	const char *command_line = (const char *)boot_word(BOOT_PARAMS_CMDLINE);
	u32 first, last, before, ram = boot_word(BOOT_PARAMS_E820_MAP + E820_LENGTH);

	first = switches();
	for (u32 call = 1; call < CALLS; call++)
		switches();
	last = switches();
	print_value("first: ", first);
	print_value("calls later: ", last - first);
	before = switches();
	for (u32 page = 0; page < PAGES; page++)
		*(volatile u32 *)(FRESH + page * PAGE_SIZE) = page;
	print_value("page faults later: ", switches() - before);
	print_answer("nothing beside the word was written", words[0] == GUARD && words[2] == GUARD);
	print_value("last: ", switches());
	if (*command_line == 'f')
		hypercall(LHCALL_SWITCHES, FAR, 0, 0);
	if (*command_line == 'e') /* a word that begins in the last page of the Guest's memory and ends behind it */
		hypercall(LHCALL_SWITCHES, ram + LGUEST_DEVICE_PAGES * PAGE_SIZE - 2, 0, 0);
}
