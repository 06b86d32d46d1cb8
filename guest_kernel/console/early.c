/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The early console: a PCI console's emergency write, or else NOTIFY with the address of a string.
 *
 * Read next: console.c.
 */
#include "guest_kernel/console/early.h"
#include "guest_kernel/bus/emergency.h"
#include "guest_kernel/cpu/hypercall.h"
#include "switcher/layouts/lguest_abi.h"
#include "switcher/layouts/types.h"

#define EARLY_BYTES 16 /* of text in one NOTIFY */

static char text[EARLY_BYTES + 1];
static u32 length;

void early_flush(void)
{
	static enum { NOT_LOOKED, PCI, NOTIFY } way;
	if (!length)
		return;
	if (way == NOT_LOOKED)
		way = emergency_find() ? PCI : NOTIFY;
	text[length] = 0;
	if (way == NOTIFY)
		hypercall(LHCALL_NOTIFY, physical(text), 0, 0, 0);
	else
		for (u32 i = 0; i < length; i++)
			emergency_write(text[i]);
	length = 0;
}

void early_write(char character)
{
	text[length++] = character;
	if (length == EARLY_BYTES || character == '\n')
		early_flush();
}
