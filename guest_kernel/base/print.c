/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * print(): the conversions that this kernel uses. 64-bit numbers are left to the callers, which split them.
 *
 * Read next: guest_kernel/console/console.c, the Guest's print sink.
 */
#include "guest_kernel/base/print.h"
#include "guest_kernel/base/text.h"
#include "switcher/layouts/types.h"
#include <stdarg.h>
#include <stdbool.h>

#define DIGITS 16 /* of a number: at most 10, or 8 with a prefix, and the terminator */

struct conversion {
	bool left, zero, prefix;
	u32 width;
};

static const struct print_sink *sink;

void print_to(const struct print_sink *new_sink)
{
	sink = new_sink;
}

void print_flush(void)
{
	sink->flush();
}

static void pad(char with, u32 count)
{
	while (count--)
		sink->write(&with, 1);
}

static void print_text(const char *text, struct conversion conversion)
{
	u32 length = text_length(text), fill = conversion.width > length ? conversion.width - length : 0;
	if (!conversion.left)
		pad(conversion.zero ? '0' : ' ', fill);
	sink->write(text, length);
	if (conversion.left)
		pad(' ', fill);
}

static void print_number(u32 value, u32 base, bool negative, struct conversion conversion)
{
	char digits[DIGITS];
	u32 at = sizeof(digits);
	digits[--at] = 0;
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (conversion.prefix) {
		digits[--at] = 'x';
		digits[--at] = '0';
	}
	if (negative)
		digits[--at] = '-';
	print_text(digits + at, conversion);
}

static const char *parse(const char *format, struct conversion *conversion)
{
	for (;; format++) {
		if (*format == '-')
			conversion->left = true;
		else if (*format == '0')
			conversion->zero = true;
		else if (*format == '#')
			conversion->prefix = true;
		else
			break;
	}
	while (*format >= '0' && *format <= '9')
		conversion->width = conversion->width * 10 + (u32)(*format++ - '0');
	return format;
}

void print(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	while (*format) {
		u32 plain = 0;
		while (format[plain] && format[plain] != '%')
			plain++;
		sink->write(format, plain);
		format += plain;
		if (!*format)
			break;
		struct conversion conversion = { 0 };
		format = parse(format + 1, &conversion);
		char character[2] = { *format, 0 };
		s32 number;
		switch (*format++) {
		case 's':
			print_text(va_arg(arguments, const char *), conversion);
			break;
		case 'c':
			character[0] = (char)va_arg(arguments, int);
			sink->write(character, 1);
			break;
		case 'd':
			number = va_arg(arguments, s32);
			print_number(number < 0 ? -(u32)number : (u32)number, 10, number < 0, conversion);
			break;
		case 'u':
			print_number(va_arg(arguments, u32), 10, false, conversion);
			break;
		case 'x':
			print_number(va_arg(arguments, u32), 16, false, conversion);
			break;
		default:
			sink->write(character, 1);
		}
	}
	va_end(arguments);
}
