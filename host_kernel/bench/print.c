/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the Host kernels that measure have to say goes to the console, as early text of the Guest's does.  Read next: run.c. */
#include "guest_kernel/base/print.h"
#include "host_kernel/base/host.h"
#include "host_kernel/base/print.h"
#include "host_kernel/machine/mailbox.h"

void print(const char *text, ...)
{
	char line[128];
	va_list values;
	int count;

	va_start(values, text);
	count = format_list(line, sizeof(line), text, values);
	va_end(values);
	mailbox_text((const u8 *)line, count);
}
