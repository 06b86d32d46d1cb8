/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text by the hypercall NOTIFY, as Linux's early console has it: slow, and it needs no driver.  Read before: small.h. */
#include "labs/small/small.h"

#define DIGITS 10 /* of the largest u32 */

/* noirq_start and noirq_end: a lab that takes interrupts has these labels, others have none. */
extern const char noirq_start[] __attribute__((weak)), noirq_end[] __attribute__((weak));

volatile struct lguest_data lguest_data = {
	.blocked_interrupts = ~0u,
	.hcall_status = { [0 ... HCALL_RING - 1] = HCALL_FREE },
	.noirq_start = (u32)noirq_start,
	.noirq_end = (u32)noirq_end,
	.kernel_address = KERNEL_ADDRESS,
	.syscall_vec = 0x80,
};

void print(const char *text)
{
	hypercall(LHCALL_NOTIFY, (u32)text, 0, 0);
}

void print_number(u32 number)
{
	char text[DIGITS + 1], *at = text + DIGITS;

	*at = 0;
	do {
		*--at = '0' + number % 10;
		number /= 10;
	} while (number);
	print(at);
}

void print_hex(u32 number)
{
	char text[] = "0x00000000";

	for (u32 digit = 9; digit > 1; digit--, number >>= 4)
		text[digit] = "0123456789abcdef"[number & 15];
	print(text);
}

void print_answer(const char *question, bool yes)
{
	print(question);
	print(yes ? ": yes\n" : ": no\n");
}

void power_off(void)
{
	hypercall(LHCALL_SHUTDOWN, (u32) "Power down", SHUTDOWN_POWEROFF, 0);
	for (;;)
		;
}
