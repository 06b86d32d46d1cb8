/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program for the debugger in a Guest: a recursion, a variable that is written at each depth, instructions to step
 * through, a signal that is ignored, and vm86, which the kernel does not have.  Its status is 24, or 100 and more where
 * an answer was wrong.  It needs no C library.  Read next: tests/userland/test_debugger.py.
 */

#define SYSTEM_EXIT 1
#define SYSTEM_WRITE 4
#define SYSTEM_GETPID 20
#define SYSTEM_KILL 37
#define SYSTEM_VM86OLD 113
#define SYSTEM_VM86 166
#define NO_SUCH_CALL (-38)
#define IGNORED_SIGNAL 28 /* SIGWINCH */
#define EFLAGS_VM 0x20000u
#define EFLAGS_IOPL 0x3000u

volatile int watched;
volatile int wrong;

static int system_call(int number, int first, int second, int third)
{
    int result;

    __asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(first), "c"(second), "d"(third) : "memory");
    return result;
}

int factorial(int n)
{
    watched = n;
    return n <= 1 ? 1 : n * factorial(n - 1);
}

/* void counted(void): 29 steps to its caller, of which ten rounds of two instructions, and five of one of strings. */
__attribute__((naked)) void counted(void)
{
    __asm__ volatile("movl $10, %ecx\n"
                     "1: decl %ecx\n"
                     "jnz 1b\n"
                     "movl $5, %ecx\n"
                     "movl %esp, %esi\n"
                     "rep lodsb\n"
                     "ret");
}

/* void step_over_a_system_call(void): its process's number. */
__attribute__((naked)) void step_over_a_system_call(void)
{
    __asm__ volatile("movl $20, %eax\n"
                     "int $0x80\n"
                     "ret");
}

/* The flags after a program asked for virtual-8086 mode and for ports by popf, which neither gives nor faults. */
static unsigned flags_after(unsigned wanted)
{
    unsigned flags;

    __asm__ volatile("pushf\n\t"
                     "orl %1, (%%esp)\n\t"
                     "popf\n\t"
                     "pushf\n\t"
                     "popl %0"
                     : "=r"(flags)
                     : "r"(wanted)
                     : "cc", "memory");
    return flags;
}

void _start(void)
{
    static char memory[256];
    int result;

    result = factorial(4);
    counted();
    step_over_a_system_call();
    system_call(SYSTEM_KILL, system_call(SYSTEM_GETPID, 0, 0, 0), IGNORED_SIGNAL, 0);
    wrong += system_call(SYSTEM_VM86OLD, (int)memory, 0, 0) != NO_SUCH_CALL;
    wrong += system_call(SYSTEM_VM86, 0, 0, 0) != NO_SUCH_CALL;
    wrong += system_call(SYSTEM_VM86, 1, (int)memory, 0) != NO_SUCH_CALL;
    wrong += (flags_after(EFLAGS_VM | EFLAGS_IOPL) & (EFLAGS_VM | EFLAGS_IOPL)) != 0;
    system_call(SYSTEM_WRITE, 1, (int)"done\n", 5);
    system_call(SYSTEM_EXIT, wrong ? 100 + wrong : result, 0, 0);
}
