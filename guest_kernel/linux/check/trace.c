/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child that is traced.  Read before: trace.h.  Read next: test_trace.c, test_debug.c. */
#include "guest_kernel/linux/check/trace.h"

/* A child that stops before it does `run`, and exits with what that gives. */
s32 traced(u32 (*run)(void))
{
	s32 child = fork(), status = 0;

	if (!child) {
		SAME("PTRACE_TRACEME", 0, trace(TRACE_ME, 0, 0, 0));
		kill(getpid(), SIGSTOP);
		leave((s32)run());
	}
	SAME("waitpid()", child, waitpid(child, &status, 0));
	SAME("its first stop", 0x7F | SIGSTOP << 8, status);
	return child;
}

struct user_registers traced_registers(s32 child)
{
	struct user_registers result;

	SAME("PTRACE_GETREGS", 0, trace(TRACE_GET_REGISTERS, child, 0, (u32)&result));
	return result;
}

/* Let it go on, to its next stop, of this signal. */
void traced_goes_on(u32 request, s32 child, s32 wanted)
{
	s32 status = 0;

	SAME("to go on", 0, trace(request, child, 0, 0));
	SAME("waitpid()", child, waitpid(child, &status, 0));
	SAME("the signal that stops it", 0x7F | wanted << 8, status);
}

void traced_ends(s32 child, s32 status)
{
	SAME("PTRACE_CONT", 0, trace(TRACE_CONT, child, 0, 0));
	SAME("its end", status, check_child(child));
}
