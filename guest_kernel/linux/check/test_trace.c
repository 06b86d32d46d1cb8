/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One program traces another: single steps, breakpoints, registers, system calls.  Read before: trace.h. */
#include "guest_kernel/linux/check/trace.h"

#define STEPS 20
#define EFLAGS_TF 0x100u
#define EFLAGS_IF 0x200u
#define USER_CS 0x73u
#define ANSWER 42

extern u8 steps_start[], steps_end[], breaks_here[];
u32 stepped(void);
/* STEPS instructions from steps_start to steps_end, each of a kind of its own; returns the flags that it saw. */
__asm__(".text\n"
	"stepped: pushl %ebx\n"
	"steps_start: movl $20, %eax\n nop\n int $0x80\n xorl %edx, %edx\n pushfl\n popl %edx\n pushl %edx\n popfl\n"
	"movl $3, %ecx\n 1: loop 1b\n" /* three steps */
	"movl %ds, %eax\n movl %eax, %ds\n movl %ss, %eax\n movl %edx, %ecx\n rdtsc\n cld\n movl %ecx, %eax\n andl $0xFFF, %eax\n"
	"steps_end: popl %ebx; ret\n"
	"breaks: breaks_here: movl $41, %eax; incl %eax; ret");
u32 breaks(void);

/* Replace the byte at `place`; the one that stood there. */
static u8 poke(s32 child, const u8 *place, u8 byte)
{
	u32 word;

	SAME("PTRACE_PEEKTEXT", 0, trace_peek(TRACE_PEEK_TEXT, child, (u32)place, &word));
	SAME("PTRACE_POKETEXT", 0, trace(TRACE_POKE_TEXT, child, (u32)place, (word & ~0xFFu) | byte));
	return (u8)word;
}

static void run_to(s32 child, const u8 *place)
{
	u8 old = poke(child, place, 0xCC);

	traced_goes_on(TRACE_CONT, child, SIGTRAP);
	SAME("eip behind the breakpoint", (u32)place + 1, traced_registers(child).eip);
	SAME("the breakpoint", 0xCC, poke(child, place, old));
	SAME("PTRACE_POKEUSER eip", 0, trace(TRACE_POKE_USER, child, __builtin_offsetof(struct user_registers, eip), (u32)place));
}

static u32 flags_it_saw(void)
{
	return stepped() & EFLAGS_TF ? 1 : ANSWER; /* pushf shows it to who is stepped through it, on any machine */
}

CHECK(steps, "trace-steps")
{
	s32 child = traced(flags_it_saw);
	u32 count = 0, eip;

	run_to(child, steps_start);
	for (eip = (u32)steps_start; eip != (u32)steps_end && count < 2 * STEPS; count++) {
		u32 old = eip;

		traced_goes_on(TRACE_STEP, child, SIGTRAP);
		eip = traced_registers(child).eip;
		HOLDS(eip >= old && eip <= (u32)steps_end);
	}
	SAME("steps", STEPS, count);
	SAME("the flags that it saw", EFLAGS_IF | EFLAGS_TF, traced_registers(child).eax & (EFLAGS_IF | EFLAGS_TF));
	SAME("kill()", 0, kill(child, SIGKILL));
	SAME("its end", 256 + SIGKILL, check_child(child));
}

CHECK(steps_end_well, "trace-steps-no-more")
{
	s32 child = traced(flags_it_saw);

	for (u32 step = 0; step < 3; step++)
		traced_goes_on(TRACE_STEP, child, SIGTRAP);
	traced_ends(child, ANSWER); /* TF is gone when it runs freely again */
}

CHECK(breakpoint, "trace-breakpoint")
{
	s32 child = traced(breaks);

	run_to(child, breaks_here);
	traced_ends(child, ANSWER);
}

CHECK(looks, "trace-registers")
{
	s32 child = traced(breaks);
	struct user_registers now;
	u32 word, fxsave[128];

	SAME("PTRACE_PEEKUSER", 0, trace_peek(TRACE_PEEK_USER, child, __builtin_offsetof(struct user_registers, cs), &word));
	SAME("cs", USER_CS, word);
	SAME("PTRACE_PEEKUSER", 0, trace_peek(TRACE_PEEK_USER, child, __builtin_offsetof(struct user_registers, eflags), &word));
	SAME("IF, IOPL, NT and VM", EFLAGS_IF, word & 0x27200);
	SAME("PTRACE_POKEUSER of cs with RPL 0", -EIO,
	     trace(TRACE_POKE_USER, child, __builtin_offsetof(struct user_registers, cs), 0x60));
	run_to(child, breaks_here + 5); /* behind the first instruction */
	now = traced_registers(child);
	SAME("eax", 41, now.eax);
	now.eax = 98;
	now.eflags |= 0x3000; /* IOPL, which must not get through */
	SAME("PTRACE_SETREGS", 0, trace(TRACE_SET_REGISTERS, child, 0, (u32)&now));
	SAME("IOPL", 0, traced_registers(child).eflags & 0x3000);
	SAME("PTRACE_GETFPXREGS", 0, trace(TRACE_GET_FXSAVE, child, 0, (u32)fxsave));
	fxsave[40] ^= 0x12345678; /* xmm0 */
	word = fxsave[40];
	SAME("PTRACE_SETFPXREGS", 0, trace(TRACE_SET_FXSAVE, child, 0, (u32)fxsave));
	traced_goes_on(TRACE_STEP, child, SIGTRAP);
	SAME("PTRACE_GETFPXREGS", 0, trace(TRACE_GET_FXSAVE, child, 0, (u32)fxsave));
	SAME("xmm0", word, fxsave[40]);
	traced_ends(child, 99);
}

static u32 calls(void)
{
	for (u32 turn = 0; turn < 10; turn++)
		CALL(NR_GETPPID, 0);
	return ANSWER;
}

CHECK(system_calls, "trace-system-calls")
{
	s32 child = traced(calls);
	struct user_registers now;

	SAME("PTRACE_SETOPTIONS", 0, trace(TRACE_OPTIONS, child, 0, TRACE_MARK_SYSCALLS));
	for (u32 turn = 0; turn < 10; turn++) {
		traced_goes_on(TRACE_SYSCALL, child, SYSCALL_STOP);
		now = traced_registers(child);
		SAME("the call", NR_GETPPID, now.number);
		SAME("eax on the way in", -ENOSYS, now.eax);
		if (turn == 5) /* make it another one */
			SAME("PTRACE_POKEUSER", 0, trace(TRACE_POKE_USER, child,
							  __builtin_offsetof(struct user_registers, number), NR_GETPID));
		traced_goes_on(TRACE_SYSCALL, child, SYSCALL_STOP);
		SAME("eax on the way out", turn == 5 ? child : getpid(), traced_registers(child).eax);
	}
	traced_goes_on(TRACE_SYSCALL, child, SYSCALL_STOP);
	SAME("its last call", NR_EXIT_GROUP, traced_registers(child).number);
	traced_ends(child, ANSWER);
}

CHECK(attaches, "trace-attach")
{
	volatile u32 *word = shared_pages(1);
	s32 child, status;
	u32 before;

	HOLDS(!map_failed((void *)word));
	child = fork();
	if (!child)
		for (;;)
			word[0]++;
	HOLDS(WAIT_FOR(word[0] > 1000));
	for (u32 turn = 0; turn < 5; turn++) {
		SAME("PTRACE_ATTACH", 0, trace(TRACE_ATTACH, child, 0, 0));
		SAME("waitpid()", child, waitpid(child, &status, 0));
		SAME("its stop", 0x7F | SIGSTOP << 8, status);
		for (u32 step = 0; step < 20; step++)
			traced_goes_on(TRACE_STEP, child, SIGTRAP);
		before = word[0];
		yield_cpu();
		SAME("it stands", before, word[0]);
		SAME("PTRACE_DETACH", 0, trace(TRACE_DETACH, child, 0, 0));
		HOLDS(WAIT_FOR(word[0] - before > 1000));
	}
	kill(child, SIGKILL);
	SAME("its end", 256 + SIGKILL, check_child(child));
}
