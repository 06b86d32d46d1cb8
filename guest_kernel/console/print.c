/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * print(): the few conversions we use. No 64-bit numbers; callers split them.
 *
 * Read next: console.c, where the text goes.
 */
#include "guest_kernel/console/print.h"
#include "guest_kernel/console/console.h"
#include "guest_kernel/console/text.h"
#include <stdarg.h>

struct conversion {
	bool left, zero, prefix;
	u32 width;
};

static void pad(char with, u32 count)
{
	while (count--)
		console_write(&with, 1);
}

static void print_text(const char *text, struct conversion how)
{
	u32 length = text_length(text), fill = how.width > length ? how.width - length : 0;
	if (!how.left)
		pad(how.zero ? '0' : ' ', fill);
	console_write(text, length);
	if (how.left)
		pad(' ', fill);
}

static void print_number(u32 value, u32 base, bool negative, struct conversion how)
{
	char digits[16];
	u32 at = sizeof(digits);
	digits[--at] = 0;
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (how.prefix) {
		digits[--at] = 'x';
		digits[--at] = '0';
	}
	if (negative)
		digits[--at] = '-';
	print_text(digits + at, how);
}

static const char *parse(const char *format, struct conversion *how)
{
	for (;; format++) {
		if (*format == '-')
			how->left = true;
		else if (*format == '0')
			how->zero = true;
		else if (*format == '#')
			how->prefix = true;
		else
			break;
	}
	while (*format >= '0' && *format <= '9')
		how->width = how->width * 10 + (u32)(*format++ - '0');
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
		console_write(format, plain);
		format += plain;
		if (!*format)
			break;
		struct conversion how = { 0 };
		format = parse(format + 1, &how);
		char character[2] = { *format, 0 };
		s32 number;
		switch (*format++) {
		case 's':
			print_text(va_arg(arguments, const char *), how);
			break;
		case 'c':
			character[0] = (char)va_arg(arguments, int);
			console_write(character, 1);
			break;
		case 'd':
			number = va_arg(arguments, s32);
			print_number(number < 0 ? -(u32)number : (u32)number, 10, number < 0, how);
			break;
		case 'u':
			print_number(va_arg(arguments, u32), 10, false, how);
			break;
		case 'x':
			print_number(va_arg(arguments, u32), 16, false, how);
			break;
		default:
			console_write(character, 1);
		}
	}
	va_end(arguments);
}
