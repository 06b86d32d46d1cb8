/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hardware breakpoints: a tracer sets them by the debug registers of struct user, perf counts them in programs and in the
 * kernel.  Source: Intel SDM vol. 3, 18.2; perf_event_open(2).  Read before: trace.h.
 */
#include "guest_kernel/linux/check/probe.h"
#include "guest_kernel/linux/check/trace.h"

#define ANSWER 42
#define EFLAGS_RF 0x10000u
#define STEPPED 0x4000u /* in DR6 */
#define EIP __builtin_offsetof(struct user_registers, eip)

enum kind { EXECUTES = 0, WRITES = 1, ACCESSES = 3 };

/* DR7 for breakpoint `number`; bytes: 1, 2 or 4. */
static u32 enabled(u32 number, enum kind kind, u32 bytes)
{
	return 1u << number * 2 | ((u32)kind | (bytes - 1) << 2) << (16 + number * 4);
}

static void set(s32 child, u32 number, const volatile void *address)
{
	SAME("a debug register", 0, trace(TRACE_POKE_USER, child, DEBUG_REGISTER(number), (u32)address));
}

static void control(s32 child, u32 value)
{
	SAME("DR7", 0, trace(TRACE_POKE_USER, child, DEBUG_REGISTER(7), value));
}

/* The cause of the last stop; the next one starts anew. */
static u32 cause(s32 child)
{
	u32 word = 0;

	SAME("DR6, read", 0, trace_peek(TRACE_PEEK_USER, child, DEBUG_REGISTER(6), &word));
	SAME("DR6, cleared", 0, trace(TRACE_POKE_USER, child, DEBUG_REGISTER(6), 0));
	return word & (STEPPED | 0xF);
}

extern u8 kinds_start[], kinds_nop[], kinds_call[], kinds_after[], kinds_rep[], kinds_end[];
u32 kinds(void);
/* One of each kind of instruction that is a kind of its own for a breakpoint. */
__asm__(".text\n"
	"kinds: pushl %ebx; pushl %esi\n"
	"kinds_start: movl $20, %eax\n"
	"kinds_nop: nop\n"
	"kinds_call: int $0x80\n"
	"kinds_after: movl $3, %ecx; movl $kinds, %esi; cld\n"
	"kinds_rep: rep lodsb\n"
	"kinds_end: movl $42, %eax; popl %esi; popl %ebx; ret");

CHECK(executes, "debug-execute")
{
	static u8 *const places[] = { kinds_start, kinds_nop, kinds_call, kinds_rep, kinds_end };
	s32 child = traced(kinds);
	u32 word, count = sizeof(places) / sizeof(*places);

	SAME("a breakpoint in the kernel", -EINVAL, trace(TRACE_POKE_USER, child, DEBUG_REGISTER(0), 0xC1000000));
	for (u32 index = 0; index < count; index++) {
		set(child, index % 4, places[index]);
		control(child, enabled(index % 4, EXECUTES, 1));
		SAME("DR0-3, read", 0, trace_peek(TRACE_PEEK_USER, child, DEBUG_REGISTER(index % 4), &word));
		SAME("DR0-3", (u32)places[index], word);
		traced_goes_on(TRACE_CONT, child, SIGTRAP);
		SAME("eip", (u32)places[index], traced_registers(child).eip);
		SAME("DR6", 1u << index % 4, cause(child));
		control(child, 0);
	}
	traced_ends(child, ANSWER);
}

CHECK(four, "debug-four")
{
	static u8 *const places[] = { kinds_start, kinds_nop, kinds_call, kinds_end };
	s32 child = traced(kinds);
	u32 all = 0;

	for (u32 index = 0; index < 4; index++) {
		set(child, index, places[index]);
		all |= enabled(index, EXECUTES, 1);
	}
	control(child, all);
	for (u32 index = 0; index < 4; index++) {
		traced_goes_on(TRACE_CONT, child, SIGTRAP);
		SAME("eip", (u32)places[index], traced_registers(child).eip);
		SAME("DR6", 1u << index, cause(child));
	}
	traced_ends(child, ANSWER);
}

/* A step ends at a breakpoint, and the next one is over the instruction that it is on. */
CHECK(steps, "debug-steps")
{
	s32 child = traced(kinds);
	u32 seen = 0;

	set(child, 0, kinds_start);
	set(child, 1, kinds_call);
	control(child, enabled(0, EXECUTES, 1) | enabled(1, EXECUTES, 1));
	traced_goes_on(TRACE_CONT, child, SIGTRAP);
	SAME("the first stop", (u32)kinds_start, traced_registers(child).eip);
	SAME("DR6", 1, cause(child));
	for (u32 step = 0; step < 5; step++) {
		traced_goes_on(TRACE_STEP, child, SIGTRAP);
		if (traced_registers(child).eip == (u32)kinds_call)
			seen |= cause(child);
		if (traced_registers(child).eip == (u32)kinds_after)
			break;
	}
	SAME("where the steps lead", (u32)kinds_after, traced_registers(child).eip);
	SAME("both causes", STEPPED | 2, seen);
	traced_ends(child, ANSWER);
}

/* The same breakpoint again and again, in a loop. */
u32 loops(void);
extern u8 loops_here[];
__asm__("loops: movl $100, %ecx; xorl %eax, %eax; loops_here: incl %eax; decl %ecx; jnz loops_here; ret");

CHECK(again, "debug-again")
{
	s32 child = traced(loops);

	set(child, 2, loops_here);
	control(child, enabled(2, EXECUTES, 1));
	for (u32 turn = 0; turn < 100; turn++) {
		traced_goes_on(TRACE_CONT, child, SIGTRAP);
		SAME("eip", (u32)loops_here, traced_registers(child).eip);
		SAME("eax", turn, traced_registers(child).eax);
	}
	traced_ends(child, 100);
}

static volatile u8 data[16] __attribute__((aligned(16)));
u32 touches(void);
/* Each is one store or read, of a size and aligned, at a label that is behind it. */
#define TOUCHES(X)                                                                                                   \
	X(0, 1, WRITES, "movb %al, data") X(1, 1, WRITES, "movb %al, data+1") X(3, 1, WRITES, "movb %al, data+3")     \
	X(4, 1, WRITES, "movb %al, data+4") X(0, 2, WRITES, "movw %ax, data") X(2, 2, WRITES, "movw %ax, data+2")     \
	X(0, 4, WRITES, "movl %eax, data") X(4, 4, WRITES, "movl %eax, data+4") X(0, 4, ACCESSES, "movl data, %eax") X(3, 1, ACCESSES, "movb data+3, %al") \
	X(4, 4, ACCESSES, "movl data+4, %eax") X(0, 4, ACCESSES, "cmpl $0, data")                                    \
	X(0, 4, WRITES, "incl data") X(4, 4, WRITES, "xchgl %eax, data+4") X(8, 4, WRITES, "movl %eax, data+8")       \
	X(0, 16, WRITES, "movups %xmm0, data")
#define TOUCH(at, bytes, kind, text) "\n" text "\n.pushsection .rodata; .long 1f; .popsection\n1:"
__asm__(".section .rodata\n.balign 4\nbehind:\n.text\ntouches: xorl %eax, %eax" TOUCHES(TOUCH) "movl $42, %eax; ret");
extern u8 *const behind[];

struct touch {
	u32 at, bytes;
	enum kind kind;
};
#define ROW(at, bytes, kind, text) { at, bytes, kind },
static const struct touch touch[] = { TOUCHES(ROW) };
#define COUNT (sizeof(touch) / sizeof(*touch))

static void watch(enum kind kind, u32 at, u32 bytes)
{
	s32 child = traced(touches);

	set(child, 3, data + at);
	control(child, enabled(3, kind, bytes));
	for (u32 index = 0; index < COUNT; index++) {
		if (touch[index].at + touch[index].bytes <= at || touch[index].at >= at + bytes || touch[index].kind > kind)
			continue;
		traced_goes_on(TRACE_CONT, child, SIGTRAP);
		SAME("behind the access", (u32)behind[index], traced_registers(child).eip);
		SAME("DR6", 8, cause(child));
	}
	traced_ends(child, ANSWER);
}

CHECK(writes, "debug-write")
{
	watch(WRITES, 0, 1);
	watch(WRITES, 3, 1);
	watch(WRITES, 2, 2);
	watch(WRITES, 0, 4);
	watch(WRITES, 4, 4);
}

CHECK(accesses, "debug-access")
{
	watch(ACCESSES, 0, 1);
	watch(ACCESSES, 0, 4);
	watch(ACCESSES, 4, 2);
}

/* A push, which a fault's frame must not be taken for. */
u32 pushes(void);
extern u8 pushes_behind[];
__asm__("pushes: movl %esp, %edx; movl $data + 8, %esp; pushl %eax; pushes_behind: movl %edx, %esp; movl $42, %eax; ret");

CHECK(stack, "debug-stack")
{
	s32 child = traced(pushes);

	set(child, 0, data + 4);
	control(child, enabled(0, WRITES, 4));
	traced_goes_on(TRACE_CONT, child, SIGTRAP);
	SAME("eip", (u32)pushes_behind, traced_registers(child).eip);
	SAME("DR6", 1, cause(child));
	traced_ends(child, ANSWER);
}

/* The kernel may not be stopped by a breakpoint in a program's memory, on behalf of which it reads and writes there. */
static s32 ends_of_pipe[2];
static u32 lets_the_kernel(void)
{
	for (u32 turn = 0; turn < 100; turn++) {
		SAME("write()", 4, write(ends_of_pipe[1], (void *)data, 4));
		SAME("read()", 4, read(ends_of_pipe[0], (void *)(data + 4), 4));
	}
	return ANSWER;
}

CHECK(kernel, "debug-kernel")
{
	s32 child, status;

	SAME("pipe()", 0, pipe(ends_of_pipe));
	child = traced(lets_the_kernel);
	set(child, 0, data);
	set(child, 1, data + 4);
	control(child, enabled(0, ACCESSES, 4) | enabled(1, WRITES, 4));
	do {
		SAME("PTRACE_CONT", 0, trace(TRACE_CONT, child, 0, 0));
		SAME("waitpid()", child, waitpid(child, &status, 0));
	} while (status == (0x7F | SIGTRAP << 8));
	SAME("its end", ANSWER << 8, status);
}

/*
 * The operand of a mov to ss delays a breakpoint until the next instruction, which can be one that enters the kernel.
 * What comes of it is different between kernels and processors, but the program goes on.
 */
static u16 selector;
u32 loads_ss(void);
extern u8 loads_ss_end[];
__asm__("loads_ss: pushl %ebx; movw %ss, selector\n"
	"movl $20, %eax; movw selector, %ss; int $0x80\n"
	"movl $20, %eax; movw selector, %ss; nop\n"
	"movw selector, %ss; int3\n"
	"movw selector, %ss; .byte 0xCD, 3\n"
	"loads_ss_end: movl $42, %eax; popl %ebx; ret");

CHECK(stack_segment, "debug-stack-segment")
{
	s32 child = traced(loads_ss), status;
	u32 stops = 0;

	set(child, 0, &selector);
	set(child, 1, loads_ss_end);
	control(child, enabled(0, ACCESSES, 2) | enabled(1, EXECUTES, 1));
	for (; stops < 20; stops++) {
		SAME("PTRACE_CONT", 0, trace(TRACE_CONT, child, 0, 0));
		SAME("waitpid()", child, waitpid(child, &status, 0));
		SAME("the signal that stops it", 0x7F | SIGTRAP << 8, status);
		if (cause(child) & 2)
			break;
	}
	SAME("where it ends", (u32)loads_ss_end, traced_registers(child).eip);
	traced_ends(child, ANSWER);
}

/* Breakpoints are a task's own. */
CHECK(others, "debug-others")
{
	s32 child = traced(loops), other;

	set(child, 0, loops_here);
	control(child, enabled(0, EXECUTES, 1));
	for (u32 turn = 0; turn < 10; turn++) {
		traced_goes_on(TRACE_CONT, child, SIGTRAP);
		SAME("here", 100, loops());
		other = fork();
		if (!other)
			leave(loops() != 100);
		SAME("in another process", 0, check_child(other));
	}
	SAME("kill()", 0, kill(child, SIGKILL));
	SAME("its end", 256 + SIGKILL, check_child(child));
}

/* perf's breakpoints count. */
struct perf_attributes {
	u32 type, bytes;
	u64 config, sample_period, sample_type, read_format, flags;
	u32 wakeup, kind;
	u64 address, length;
};
enum { PERF_HARDWARE = 0, PERF_SOFTWARE = 1, PERF_RAW = 4, PERF_BREAKPOINT = 5 };
enum { BREAK_WRITE = 2, BREAK_ACCESS = 3, BREAK_EXECUTE = 4 };
#define PERF_TASK_CLOCK 1

static s32 perf(struct perf_attributes *attributes)
{
	attributes->bytes = sizeof(*attributes);
	return CALL(NR_PERF_EVENT_OPEN, (u32)attributes, 0, (u32)-1, (u32)-1, 0);
}

static s32 perf_breakpoint(u32 kind, u32 address, u32 bytes)
{
	struct perf_attributes attributes = {
		.type = PERF_BREAKPOINT, .sample_period = 0x7FFFFFFF, .kind = kind, .address = address, .length = bytes,
	};
	s32 file = perf(&attributes);

	HOLDS(file >= 0);
	return file;
}

static u32 counted(s32 file)
{
	u64 value = ~0ull;

	SAME("read()", 8, read(file, &value, 8));
	return (u32)value;
}

CHECK(counts, "debug-perf")
{
	s32 write_file = perf_breakpoint(BREAK_WRITE, (u32)data, 4), execute_file = perf_breakpoint(BREAK_EXECUTE, (u32)loops_here, 4);

	for (u32 turn = 0; turn < 50; turn++)
		data[0] = (u8)turn;
	loops();
	SAME("stores", 50, counted(write_file));
	SAME("executions", 100, counted(execute_file));
	SAME("close()", 0, close(write_file));
	SAME("close()", 0, close(execute_file));
}

/* A function of the kernel, from its name in /proc/kallsyms; 0: it is not there. */
static u32 kernel_symbol(const char *name)
{
	static u8 text[PAGE];
	s32 file = open("/proc/kallsyms", O_RDONLY), got;
	u32 value = 0, column = 0, matched = 0, found = 0;

	HOLDS(file >= 0);
	while (!found && (got = read(file, text, sizeof(text))) > 0) {
		for (s32 index = 0; index < got && !found; index++, column++) {
			u8 letter = text[index];

			if (column < 8) /* a line: ADDRESS T NAME */
				value = value << 4 | (letter <= '9' ? letter - (u32)'0' : letter - 'a' + 10u);
			else if (column - 11 == matched && letter == (u8)name[matched])
				matched++;
			if (letter != '\n')
				continue;
			if (!name[matched] && column - 11 == matched)
				found = value;
			value = matched = 0;
			column = ~0u;
		}
	}
	SAME("close()", 0, close(file));
	return found;
}

CHECK(in_the_kernel, "debug-perf-kernel")
{
	u32 address = kernel_symbol("__do_sys_getppid");
	s32 file;

	if (!address)
		address = kernel_symbol("__ia32_sys_getppid");
	if (!address)
		address = kernel_symbol("sys_getppid");
	HOLDS(address);
	file = perf_breakpoint(BREAK_EXECUTE, address, 4);
	for (u32 turn = 0; turn < 50; turn++)
		CALL(NR_GETPPID, 0);
	SAME("executions in the kernel", 50, counted(file));
	SAME("close()", 0, close(file));
}

/* There are no counters of the processor's, and perf says so. */
CHECK(no_counters, "debug-perf-hardware")
{
	struct perf_attributes cycles = { .type = PERF_HARDWARE }, raw = { .type = PERF_RAW, .config = 0x3C };
	struct perf_attributes clock = { .type = PERF_SOFTWARE, .config = PERF_TASK_CLOCK };
	s32 file;

	SAME("cycles", -ENOENT, perf(&cycles));
	SAME("a raw event", -ENOENT, perf(&raw));
	file = perf(&clock);
	HOLDS(file >= 0);
	for (u32 turn = 0; turn < 100; turn++)
		CALL(NR_GETPPID, 0);
	HOLDS(counted(file) > 0);
	SAME("close()", 0, close(file));
}

PROBED(does_icebp, "movl $101f, probe_at; 101: .byte 0xF1")

/* A debug exception without a cause, for anybody. */
CHECK(icebp, "debug-icebp")
{
	struct fault got = fault_of(does_icebp, 0);

	if (got.signal == SIGILL) {
		check_note("there is no icebp");
		return;
	}
	SAME("the signal", SIGTRAP, got.signal);
	SAME("its trap", 1, got.trap);
	SAME("where", 1, got.distance);
}
