/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory, strings, 64-bit division: what a C library would provide. The compiler emits calls to memset and memcpy.
 *
 * Read next: print.c.
 */
#include "guest_kernel/base/text.h"
#include "switcher/layouts/types.h"
#include <stdbool.h>

void *memset(void *to, int byte, size_t count);
void *memcpy(void *to, const void *from, size_t count);

void *memset(void *to, int byte, size_t count)
{
	void *start = to;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(byte) : "memory");
	return start;
}

void *memcpy(void *to, const void *from, size_t count)
{
	void *start = to;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	return start;
}

void *memory_set(void *to, int byte, u32 count)
{
	return memset(to, byte, count);
}

void *memory_copy(void *to, const void *from, u32 count)
{
	return memcpy(to, from, count);
}

bool text_is_space(char character)
{
	return character == ' ' || character == '\t';
}

u32 text_length(const char *text)
{
	u32 length = 0;
	while (text[length])
		length++;
	return length;
}

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool text_starts(const char *text, const char *start)
{
	while (*start) {
		if (*text++ != *start++)
			return false;
	}
	return true;
}

bool text_contains(const char *text, const char *part)
{
	for (;; text++) {
		if (text_starts(text, part))
			return true;
		if (!*text)
			return false;
	}
}

u32 text_copy(char *to, const char *from, u32 room)
{
	u32 length = 0;
	while (from[length] && length + 1 < room) {
		to[length] = from[length];
		length++;
	}
	to[length] = 0;
	return length;
}

bool text_number(const char *text, u32 *number)
{
	u32 value = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		u32 digit = (u32)(*text - '0');
		if (digit > 9 || value > (0xFFFFFFFF - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return true;
}

u32 divide64(u64 value, u32 divisor, u64 *quotient)
{
	/* The high half is divided first. Its remainder is below the divisor, so divl cannot overflow. */
	u32 high = (u32)(value >> 32), low = (u32)value;
	u32 high_quotient = high / divisor, remainder = high % divisor;
	__asm__("divl %2" : "+a"(low), "+d"(remainder) : "r"(divisor) : "cc");
	*quotient = (u64)high_quotient << 32 | low;
	return remainder;
}
