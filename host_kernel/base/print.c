/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small formatter for messages, output to the debug port, and the two memory routines that gcc calls. */
#include "host_kernel/base/print.h"
#include "host_kernel/base/cpu.h"
#include "host_kernel/base/host.h"

__attribute__((used)) /* gcc generates calls to it after link-time optimisation has removed it */
void *memcpy(void *to, const void *from, size_t count)
{
	void *start = to;
	size_t words = count / 4, bytes = count % 4;
	__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

__attribute__((used))
void *memset(void *to, int value, size_t count)
{
	void *start = to;
	size_t words = count / 4, bytes = count % 4;
	u32 pattern = (u8)value * 0x01010101u;
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(pattern) : "memory");
	return start;
}

struct output {
	char *next, *last; /* last: the last byte, for the NUL */
};

static void put(struct output *out, char character)
{
	if (out->next < out->last)
		*out->next++ = character;
}

static void put_number(struct output *out, u32 value, u32 base, u32 width, char fill)
{
	char digits[10];
	u32 count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (; width > count; width--)
		put(out, fill);
	while (count)
		put(out, digits[--count]);
}

int format_list(char *start, u32 size, const char *text, va_list values)
{
	struct output out = { start, start + size - 1 };

	for (; *text; text++) {
		bool prefix = false;
		char fill = ' ';
		u32 width = 0;

		if (*text != '%') {
			put(&out, *text);
			continue;
		}
		for (text++; *text == '#'; text++)
			prefix = true;
		for (; *text >= '0' && *text <= '9'; text++) {
			if (*text == '0' && !width)
				fill = '0';
			width = width * 10 + (u32)(*text - '0');
		}
		if (*text == 's') {
			for (const char *from = va_arg(values, const char *); *from; from++)
				put(&out, *from);
		} else if (*text == 'c') {
			put(&out, (char)va_arg(values, int));
		} else if (*text == 'u') {
			put_number(&out, va_arg(values, u32), 10, width, fill);
		} else if (*text == 'x') {
			if (prefix) {
				put(&out, '0');
				put(&out, 'x');
			}
			put_number(&out, va_arg(values, u32), 16, width, fill);
		} else {
			put(&out, *text);
		}
	}
	*out.next = 0;
	return out.next - start;
}

int format(char *out, u32 size, const char *text, ...)
{
	va_list values;
	int length;

	va_start(values, text);
	length = format_list(out, size, text, values);
	va_end(values);
	return length;
}

void debug(const char *text, ...)
{
	char line[REASON_BYTES];
	va_list values;

	va_start(values, text);
	format_list(line, sizeof(line), text, values);
	va_end(values);
	for (char *next = line; *next; next++)
		outb(machine.debug_port, *next);
}
