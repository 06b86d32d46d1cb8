/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals: delivered, blocked, nested, on another stack, in the middle of a system call, by the clock. */
#include "guest_kernel/linux/check/check.h"

#define HANDLER_STACK (8 * PAGE)

static volatile s32 count, depth, deepest;
static struct signal_info told;
static u32 handler_esp;
static u64 mask_inside;

static void counts(s32 signal, struct signal_info *info, struct signal_context *context)
{
	u32 here;

	(void)signal;
	(void)context;
	told = *info;
	handler_esp = (u32)&here;
	signal_mask(SIG_BLOCK, 0, &mask_inside);
	count++;
}

CHECK(told_check, "signals-info")
{
	s32 parent = getpid(), child;

	SAME("rt_sigaction()", 0, signal_handle(SIGUSR1, counts, 0, signal_bit(SIGUSR2)));
	SAME("kill()", 0, kill(parent, SIGUSR1));
	SAME("count", 1, count);
	SAME("si_signo", SIGUSR1, told.signal);
	SAME("si_code", SI_USER, told.code);
	SAME("si_pid", parent, told.pid);
	SAME("the mask in the handler", signal_bit(SIGUSR1) | signal_bit(SIGUSR2), mask_inside);
	SAME("tgkill()", 0, tgkill(parent, gettid(), SIGUSR1));
	SAME("si_code of tgkill()", SI_TKILL, told.code);
	child = fork();
	if (!child)
		leave(kill(parent, SIGUSR1));
	HOLDS(WAIT_FOR(count == 3));
	SAME("the sender", child, told.pid);
	SAME("the sender's end", 0, check_child(child));
	child = fork();
	if (!child)
		for (;;)
			yield_cpu();
	SAME("kill()", 0, kill(child, SIGKILL));
	SAME("a death by signal", 256 + SIGKILL, check_child(child));
}

CHECK(masks, "signals-masks")
{
	SAME("rt_sigaction()", 0, signal_handle(SIGUSR1, counts, 0, 0));
	SAME("block", 0, signal_mask(SIG_BLOCK, signal_bit(SIGUSR1), NULL));
	for (u32 turn = 0; turn < 5; turn++)
		kill(getpid(), SIGUSR1);
	SAME("count while blocked", 0, count);
	SAME("pending", signal_bit(SIGUSR1), signals_pending());
	SAME("unblock", 0, signal_mask(SIG_UNBLOCK, signal_bit(SIGUSR1), NULL));
	SAME("count then", 1, count);
	SAME("pending then", 0, signals_pending());
}

CHECK(stack, "signals-stack")
{
	struct alternate_stack stack = { pages(HANDLER_STACK / PAGE), 0, HANDLER_STACK }, old;

	HOLDS(!map_failed(stack.start));
	SAME("sigaltstack()", 0, signal_stack(&stack, &old));
	SAME("there was none", SS_DISABLE, old.flags);
	SAME("rt_sigaction()", 0, signal_handle(SIGUSR1, counts, SA_ONSTACK, 0));
	kill(getpid(), SIGUSR1);
	HOLDS(handler_esp > (u32)stack.start && handler_esp < (u32)stack.start + HANDLER_STACK);
	SAME("rt_sigaction()", 0, signal_handle(SIGUSR1, counts, 0, 0));
	kill(getpid(), SIGUSR1);
	HOLDS(handler_esp < (u32)stack.start || handler_esp >= (u32)stack.start + HANDLER_STACK);
	SAME("count", 2, count);
}

static void nests(s32 signal, struct signal_info *info, struct signal_context *context)
{
	(void)info;
	(void)context;
	if (++depth > deepest)
		deepest = depth;
	if (deepest < 10)
		kill(getpid(), signal == SIGUSR1 ? SIGUSR2 : SIGUSR1);
	depth--;
	count++;
}

CHECK(nested, "signals-nested")
{
	SAME("rt_sigaction()", 0, signal_handle(SIGUSR1, nests, SA_NODEFER, 0));
	SAME("rt_sigaction()", 0, signal_handle(SIGUSR2, nests, SA_NODEFER, 0));
	kill(getpid(), SIGUSR1);
	SAME("how deep", 10, deepest);
	SAME("count", 10, count);
	SAME("depth behind them", 0, depth);
}

/* A read that waits, with signals in the middle of it: what it returns, and what came in the end. */
static void interrupted(u32 flags, s32 wanted)
{
	s32 data[2], parent = getpid(), child, got;
	char letter = 0;

	count = 0;
	SAME("pipe()", 0, pipe(data));
	SAME("rt_sigaction()", 0, signal_handle(SIGUSR1, counts, flags, 0));
	child = fork();
	if (!child) {
		for (u32 turn = 0; turn < 5 || !(flags & SA_RESTART); turn++) {
			sleep_ms(50); /* so that it is reading */
			kill(parent, SIGUSR1);
		}
		leave(write(data[1], "x", 1) != 1);
	}
	got = read(data[0], &letter, 1);
	SAME("what read() returns", wanted, got);
	SAME("the letter", wanted == 1 ? 'x' : 0, letter);
	HOLDS(count >= 1);
	if (wanted != 1)
		kill(child, SIGKILL);
	SAME("the other one", wanted == 1 ? 0 : 256 + SIGKILL, check_child(child));
}

CHECK(restarts, "signals-restart")
{
	interrupted(SA_RESTART, 1);
	interrupted(0, -EINTR);
}

CHECK(clock, "signals-clock")
{
	SAME("rt_sigaction()", 0, signal_handle(SIGALRM, counts, SA_RESTART, 0));
	signal_ticks(10000);
	for (u64 from = clock_ns(); count < 20;) /* in ring 3, mostly */
		HOLDS(clock_ns() - from < 120000000000ull);
	signal_ticks(0);
	SAME("si_code", SI_KERNEL, told.code);
}

/* All registers of the interrupted program come back, and its flags. */
u32 spin_registers(volatile s32 *count, s32 until);
__asm__(".text\n"
	"spin_registers: pushl %ebp; pushl %edi; pushl %esi; pushl %ebx; pushl %gs; pushl %fs\n"
	"movl 28(%esp), %eax; movl 32(%esp), %edx; movl %edx, spin_until\n"
	"movl $0xB0B0B0B0, %ebx; movl $0xC1C1C1C1, %ecx; movl $0xD2D2D2D2, %edx\n"
	"movl $0x51515151, %esi; movl $0xD1D1D1D1, %edi; movl $0xBEBEBEBE, %ebp\n"
	"pushl $0x7B; popl %gs; pushl $0x7B; popl %fs; std\n"
	"1: pushl %eax; movl (%eax), %eax; cmpl spin_until, %eax; popl %eax; jl 1b\n"
	"pushfl; popl spin_until; cld; movl %esp, %eax; addl $24, %eax\n"
	"cmpl $0xB0B0B0B0, %ebx; jne 2f; cmpl $0xC1C1C1C1, %ecx; jne 2f; cmpl $0xD2D2D2D2, %edx; jne 2f\n"
	"cmpl $0x51515151, %esi; jne 2f; cmpl $0xD1D1D1D1, %edi; jne 2f; cmpl $0xBEBEBEBE, %ebp; jne 2f\n"
	"movl %gs, %ecx; cmpl $0x7B, %ecx; jne 2f; movl %fs, %ecx; cmpl $0x7B, %ecx; jne 2f\n"
	"testl $0x400, spin_until; jz 2f; movl $1, %eax; jmp 3f\n"
	"2: xorl %eax, %eax\n"
	"3: popl %fs; popl %gs; popl %ebx; popl %esi; popl %edi; popl %ebp; ret\n"
	".bss\n.balign 4\nspin_until: .skip 4\n.text");

CHECK(registers, "signals-registers")
{
	SAME("rt_sigaction()", 0, signal_handle(SIGALRM, counts, SA_RESTART, 0));
	signal_ticks(5000);
	HOLDS(spin_registers(&count, 20));
	signal_ticks(0);
}

static void edits(s32 signal, struct signal_info *info, struct signal_context *context)
{
	(void)signal;
	(void)info;
	context->eax = 4711;
	context->eflags |= 1; /* carry */
}

CHECK(edited, "signals-edited")
{
	u32 value, carry;

	SAME("rt_sigaction()", 0, signal_handle(SIGTRAP, edits, 0, 0));
	__asm__ volatile("clc; int3; setc %b1" : "=a"(value), "=q"(carry) : "0"(1), "1"(0) : "memory", "cc");
	SAME("eax as the handler set it", 4711, value);
	SAME("the carry", 1, carry);
}
