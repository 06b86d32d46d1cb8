/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program of ours needs besides bare system calls.  Read before: system.h. */
#include "guest_kernel/linux/system.h"
#include <stdarg.h>

#define STACK_BYTES (64 * 1024)
#define NS_PER_MS 1000000

void leave(s32 status)
{
	for (;;)
		CALL(NR_EXIT_GROUP, (u32)status);
}

bool thread_start(struct thread *thread, const struct segment *tls, void (*run)(void *), void *argument)
{
	u32 flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
		    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | (tls ? CLONE_SETTLS : 0);

	thread->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map_failed(thread->stack))
		return false;
	return thread_clone(flags, (char *)thread->stack + STACK_BYTES, &thread->tid, tls, run, argument) > 0;
}

void thread_join(struct thread *thread)
{
	s32 tid;

	while ((tid = thread->tid))
		futex_wait(&thread->tid, tid, NULL);
	munmap(thread->stack, STACK_BYTES);
}

u64 clock_ns(void)
{
	struct time now;

	CALL(NR_CLOCK_GETTIME, CLOCK_MONOTONIC, (u32)&now);
	return (u64)(u32)now.seconds * 1000000000 + (u32)now.ns;
}

void sleep_ms(u32 ms)
{
	struct time left = { (s32)(ms / 1000), (s32)(ms % 1000 * NS_PER_MS) };

	while (CALL(NR_NANOSLEEP, (u32)&left, (u32)&left) == -EINTR)
		;
}

u32 auxiliary(char **envp, u32 type)
{
	u32 *entry;

	while (*envp)
		envp++;
	for (entry = (u32 *)(envp + 1); entry[0]; entry += 2)
		if (entry[0] == type)
			return entry[1];
	return 0;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return start;
}

void *memset(void *to, int value, size_t bytes)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return start;
}

int memcmp(const void *one, const void *other, size_t bytes)
{
	const u8 *left = one, *right = other;

	for (; bytes; bytes--, left++, right++)
		if (*left != *right)
			return *left - *right;
	return 0;
}

size_t strlen(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return (size_t)(end - text);
}

bool text_same(const char *one, const char *other)
{
	size_t length = strlen(one);

	return length == strlen(other) && !memcmp(one, other, length);
}

u32 number_of(const char *text)
{
	u32 value = 0;

	while (*text >= '0' && *text <= '9')
		value = value * 10 + (u32)(*text++ - '0');
	return value;
}

struct line {
	char text[512];
	u32 length;
};

static void add(struct line *line, char character)
{
	if (line->length < sizeof(line->text))
		line->text[line->length++] = character;
}

static void add_number(struct line *line, u32 number, u32 base)
{
	char digits[10];
	u32 count = 0;

	do
		digits[count++] = "0123456789abcdef"[number % base];
	while (number /= base);
	while (count)
		add(line, digits[--count]);
}

static void add_text(struct line *line, const char *text)
{
	while (*text)
		add(line, *text++);
}

void print(const char *format, ...)
{
	struct line line = { .length = 0 };
	va_list values;
	s32 number;

	va_start(values, format);
	for (; *format; format++) {
		if (*format != '%') {
			add(&line, *format);
			continue;
		}
		switch (*++format) {
		case 's':
			add_text(&line, va_arg(values, const char *));
			break;
		case 'c':
			add(&line, (char)va_arg(values, int));
			break;
		case 'd':
			number = va_arg(values, s32);
			if (number < 0)
				add(&line, '-');
			add_number(&line, number < 0 ? -(u32)number : (u32)number, 10);
			break;
		case 'u':
			add_number(&line, va_arg(values, u32), 10);
			break;
		case 'x':
			add_text(&line, "0x");
			add_number(&line, va_arg(values, u32), 16);
			break;
		default:
			add(&line, '%');
		}
	}
	va_end(values);
	write(1, line.text, line.length);
}
