/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ptrace(2), as i386 has it.  Read next: trace.c. */
#ifndef TRACE_H
#define TRACE_H
#include "guest_kernel/linux/check/check.h"

enum { TRACE_ME = 0, TRACE_PEEK_TEXT = 1, TRACE_PEEK_USER = 3, TRACE_POKE_TEXT = 4, TRACE_POKE_USER = 6, TRACE_CONT = 7,
       TRACE_KILL = 8, TRACE_STEP = 9, TRACE_GET_REGISTERS = 12, TRACE_SET_REGISTERS = 13, TRACE_ATTACH = 16,
       TRACE_DETACH = 17, TRACE_GET_FXSAVE = 18, TRACE_SET_FXSAVE = 19, TRACE_SYSCALL = 24, TRACE_GET_THREAD_AREA = 25,
       TRACE_OPTIONS = 0x4200 };
enum { TRACE_MARK_SYSCALLS = 1 };
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define DEBUG_REGISTER(number) (252 + (number) * 4u) /* in struct user */

struct user_registers {
	u32 ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, number, eip, cs, eflags, esp, ss; /* number: of the call */
};

static inline s32 trace(u32 request, s32 pid, u32 address, u32 data)
{
	return CALL(NR_PTRACE, request, (u32)pid, address, data);
}

/* The bare system call stores what it peeks. */
static inline s32 trace_peek(u32 request, s32 pid, u32 address, u32 *word)
{
	return trace(request, pid, address, (u32)word);
}

s32 traced(u32 (*run)(void));
struct user_registers traced_registers(s32 child);
void traced_goes_on(u32 request, s32 child, s32 wanted);
void traced_ends(s32 child, s32 status);
#endif
