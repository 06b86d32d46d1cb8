/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a program sees of its processor: its ring, flags, cpuid, selectors, and the instructions that would tell it where
 * the tables are.  Source of what the kernel answers for those: Linux's documentation of UMIP.
 *
 * Read before: probe.h.
 */
#include "guest_kernel/linux/check/probe.h"

#define USER_CS 0x73u
#define USER_DS 0x7Bu
#define KERNEL_CS 0x60u
#define CPUID_SEP (1u << 11)
#define CPUID_NEEDED (1u << 0 | 1u << 4 | 1u << 8 | 1u << 15 | 1u << 24 | 1u << 25 | 1u << 26) /* fpu, tsc … sse2 */
#define KEPT_FLAGS 0x240CD5u /* CF PF AF ZF SF DF AC ID: a program's own (OF would make `into` trap, and is 0x800) */
#define EFLAGS_NT 0x4000u
#define SWITCHER 0xFFC00000u

CHECK(ring, "cpu-ring")
{
	u32 cs, ss, flags;

	__asm__ volatile("movl %%cs, %0; movl %%ss, %1; pushfl; popl %2" : "=r"(cs), "=r"(ss), "=r"(flags));
	SAME("cs", USER_CS, cs);
	SAME("ss", USER_DS, ss);
	SAME("IF, IOPL, NT and VM", 0x200, flags & 0x27200);
	print("RPL %u\n", cs & 3);
}

CHECK(cpuid, "cpu-cpuid")
{
	u32 eax = 0, ebx, ecx = 0, edx, low, high, last_low = 0, last_high = 0;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	HOLDS(eax >= 1);
	HOLDS(!memcmp(&ebx, "Genu", 4) && !memcmp(&edx, "ineI", 4) && !memcmp(&ecx, "ntel", 4));
	eax = 1;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	SAME("what a program needs", CPUID_NEEDED, edx & CPUID_NEEDED);
	SAME("sysenter", 0, edx & CPUID_SEP);
	for (u32 turn = 0; turn < 1000; turn++) {
		__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
		HOLDS(high > last_high || (high == last_high && low >= last_low));
		last_low = low;
		last_high = high;
	}
}

static u32 through_call(u32 flags)
{
	u32 after;

	__asm__ volatile("pushl %1; popfl; int $0x80; pushfl; popl %0; pushl $0x202; popfl"
			 : "=r"(after) : "0"(flags), "a"(NR_GETPID) : "memory", "cc");
	return after;
}

CHECK(flags, "cpu-flags")
{
	u64 from = clock_ns();
	u32 after;

	for (u32 bit = 1; bit < 1 << 22; bit <<= 1)
		if (bit & KEPT_FLAGS) {
			after = through_call(0x202 | bit);
			SAME("flags over a system call", bit, after & KEPT_FLAGS);
		}
	while (clock_ns() - from < 100000000) { /* and over interrupts */
		__asm__ volatile("pushl %1; popfl; 1: decl %%ecx; leal 1(%%ecx), %%ecx; leal -1(%%ecx), %%ecx; jecxz 2f; jmp 1b; "
				 "2: pushfl; popl %0; pushl $0x202; popfl"
				 : "=r"(after) : "r"(0x202 | (KEPT_FLAGS & ~0x8D5u)), "c"(10000) : "memory", "cc");
		SAME("flags over interrupts", KEPT_FLAGS & ~0x8D5u, after & KEPT_FLAGS & ~0x8D5u);
	}
	for (u32 turn = 0; turn < 50; turn++) { /* a kernel that returned with it in force would fault */
		through_call(0x202 | EFLAGS_NT);
		__asm__ volatile("pushl $0x4202; popfl; 1: loop 1b; pushl $0x202; popfl" : : "c"(50000) : "memory", "cc");
	}
	SAME("IF after an attempt to clear it, IOPL after one to set it", 0x200, through_call(0x3002) & 0x3200);
	SAME("NT over a call", EFLAGS_NT, through_call(EFLAGS_NT | 0x202) & EFLAGS_NT);
	__asm__ volatile("pushfl; pushl %%cs; pushl $1f; iret; 1:" : : : "memory", "cc"); /* to the same ring */
}

static bool lar(u32 selector, u32 *rights)
{
	bool valid;

	__asm__ volatile("lar %2, %0; setz %b1" : "=r"(*rights), "=q"(valid) : "r"(selector), "0"(0) : "cc");
	return valid;
}

static bool lsl(u32 selector, u32 *limit)
{
	bool valid;

	__asm__ volatile("lsl %2, %0; setz %b1" : "=r"(*limit), "=q"(valid) : "r"(selector), "0"(0) : "cc");
	return valid;
}

static bool verr(u32 selector)
{
	bool valid;

	__asm__ volatile("verr %w1; setz %b0" : "=q"(valid) : "r"(selector) : "cc");
	return valid;
}

static bool verw(u32 selector)
{
	bool valid;

	__asm__ volatile("verw %w1; setz %b0" : "=q"(valid) : "r"(selector) : "cc");
	return valid;
}

CHECK(selectors, "cpu-selectors")
{
	u32 value;

	HOLDS(lar(USER_CS, &value));
	SAME("rights of its code", 0xC0FA00, value & 0xF0FE00);
	HOLDS(lar(USER_DS, &value));
	SAME("rights of its data", 0xC0F200, value & 0xF0FE00);
	HOLDS(lsl(USER_CS, &value));
	SAME("limit of its code", 0xFFFFFFFF, value);
	HOLDS(lsl(USER_DS, &value));
	SAME("limit of its data", 0xFFFFFFFF, value);
	HOLDS(verr(USER_CS) && verr(USER_DS) && verw(USER_DS) && !verw(USER_CS));
	for (u32 selector = KERNEL_CS; selector <= KERNEL_CS + 8; selector += 8)
		HOLDS(!lar(selector, &value) && !lsl(selector, &value) && !verr(selector | 3) && !verw(selector | 3));
	for (u32 selector = 0x40; selector <= 0x58; selector += 8)
		HOLDS(!lar(selector | 3, &value) && !lsl(selector, &value) && !verr(selector) && !verw(selector));
	HOLDS(!lar(0x80, &value) && !lsl(0x80, &value) && !lsl(0xFFFB, &value) && !lsl(0, &value));
}

PROBED(does_sgdt, "movl $table_of, %%eax; movl $101f, probe_at; 101: sgdt (%%eax)")
PROBED(does_sidt, "movl $table_of, %%eax; movl $101f, probe_at; 101: sidt (%%eax)")
PROBED(does_sldt, "xorl %%eax, %%eax; movl $101f, probe_at; 101: sldt %%eax; movl %%eax, table_of")
PROBED(does_str, "xorl %%eax, %%eax; movl $101f, probe_at; 101: str %%eax; movl %%eax, table_of")
PROBED(does_smsw, "xorl %%eax, %%eax; movl $101f, probe_at; 101: smsw %%eax; movl %%eax, table_of")
u32 table_of[4];

/* With UMIP the kernel answers with constants; a CPU that lets it through tells addresses of the kernel's at most. */
static void no_table_of_the_hosts(const char *what, void (*code)(u32))
{
	u32 base;

	memset(table_of, 0, sizeof(table_of));
	if (fault_of(code, 0).signal)
		return;
	memcpy(&base, (u8 *)table_of + 2, 4);
	print("%s: base %x, limit %x\n", what, base, table_of[0] & 0xFFFF);
	HOLDS(base < SWITCHER || base >= 0xFFFE0000);
}

CHECK(umip, "cpu-tables")
{
	struct fault got;

	no_table_of_the_hosts("sgdt", does_sgdt);
	no_table_of_the_hosts("sidt", does_sidt);
	got = fault_of(does_smsw, 0);
	if (!got.signal)
		SAME("PE, MP, ET and NE in smsw", 0x33, table_of[0] & 0x3F);
	got = fault_of(does_str, 0);
	if (!got.signal)
		SAME("str", 0x80, table_of[0]);
	got = fault_of(does_sldt, 0);
	if (!got.signal)
		SAME("sldt", 0, table_of[0]);
}

PROBED(does_sysenter, "movl %%esp, %%ebp; movl $0, %%ecx; sysenter")
PROBED(does_syscall, "syscall")
PROBED(does_vmcall, "vmcall")
PROBED(does_xgetbv, "xorl %%ecx, %%ecx; movl $101f, probe_at; 101: xgetbv")

CHECK(ways_in, "cpu-other-ways-in")
{
	HOLDS(fault_of(does_sysenter, NR_GETPID).signal);
	HOLDS(fault_of(does_syscall, NR_GETPID).signal);
	SAME("xgetbv", SIGILL, fault_of(does_xgetbv, 0).signal);
	HOLDS(fault_of(does_vmcall, 0).signal);
	SAME("a call behind them", getpid(), CALL(NR_GETPID, 0));
}

CHECK(vm86, "cpu-vm86")
{
	static u32 state[64];

	SAME("vm86old()", -ENOSYS, CALL(NR_VM86OLD, (u32)state));
	for (u32 request = 0; request < 5; request++)
		SAME("vm86()", -ENOSYS, CALL(NR_VM86, request, (u32)state));
}

PROBED(does_in, "movl %%eax, %%edx; movl $101f, probe_at; 101: inb %%dx, %%al")
PROBED(does_in_word, "movl %%eax, %%edx; movl $101f, probe_at; 101: inw %%dx, %%ax")
PROBED(does_in_immediate, "inb $0xED, %%al")
PROBED(does_step, "movl %%eax, %%edx; movl $101f, probe_at; pushfl; orl $0x100, (%%esp); popfl; 101: inb %%dx, %%al; nop")
PROBED(does_ins, "movl %%eax, %%edx; leal table_of, %%edi; movl $101f, probe_at; 101: insb")
PROBED(does_cli, "cli")

#define SCRATCH 0x3FFu /* of the serial port: a byte that does nothing */
#define EMPTY   0xEDu  /* no device is here */

static u32 in(u32 port)
{
	u32 value = 0;

	__asm__ volatile("inb %w1, %b0" : "+a"(value) : "d"(port));
	return value;
}

static void out(u32 port, u32 value)
{
	__asm__ volatile("outb %b0, %w1" : : "a"(value), "d"(port));
}

static void no_port(const char *what, void (*code)(u32), u32 port)
{
	struct fault got = fault_of(code, port);

	SAME(what, SIGSEGV, got.signal);
	SAME(what, 13, got.trap);
	SAME(what, 0, got.distance);
}

/* The kernel grants ports by the bitmap in its TSS. */
CHECK(ports, "cpu-ports")
{
	s32 child;

	no_port("a port before ioperm()", does_in, EMPTY);
	SAME("ioperm()", 0, CALL(NR_IOPERM, EMPTY, 1, 1));
	SAME("an empty port", 0xFF, in(EMPTY));
	SAME("its number in the instruction", 0, fault_of(does_in_immediate, 0).signal);
	no_port("a port that was not asked for", does_in, EMPTY + 1);
	no_port("two ports, one of them asked for", does_in_word, EMPTY);
	no_port("two ports, the other one asked for", does_in_word, EMPTY - 1);
	child = fork();
	if (!child) {
		in(EMPTY); /* a child has its parent's ports */
		leave(7);
	}
	SAME("a child", 7, check_child(child));
	SAME("ioperm()", 0, CALL(NR_IOPERM, EMPTY, 1, 0));
	no_port("a port given back", does_in, EMPTY);

	SAME("ioperm()", 0, CALL(NR_IOPERM, SCRATCH, 1, 1));
	for (u32 byte = 0x5A; byte < 0x5C; byte++) {
		out(SCRATCH, byte);
		yield_cpu();
		SAME("what was written to a device", byte, in(SCRATCH));
	}
	SAME("ioperm()", 0, CALL(NR_IOPERM, SCRATCH, 1, 0));
}

CHECK(all_ports, "cpu-iopl")
{
	u32 value = 0x12340000;
	struct fault stepped;

	SAME("iopl()", 0, CALL(NR_IOPL, 3));
	__asm__ volatile("inw %w1, %w0" : "+a"(value) : "d"(EMPTY));
	SAME("two ports, and the rest of the register", 0x1234FFFF, value);
	__asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(0xFFFC));
	SAME("the last four ports", 0xFFFFFFFF, value);
	out(EMPTY, 1);
	stepped = fault_of(does_step, EMPTY);
	SAME("a step over it", SIGTRAP, stepped.signal);
	SAME("where the step ends", 1, stepped.distance);
	fault_of(does_cli, 0); /* the kernel may skip it, with a line in its log */
	SAME("flags then", 0x200, through_call(0x202) & 0x3200);
	if (fault_of(does_ins, EMPTY).signal)
		check_note("ins and outs of a program fault at ports that it may use");
	SAME("iopl()", 0, CALL(NR_IOPL, 0));
	SAME("cli without it", SIGSEGV, fault_of(does_cli, 0).signal);
	no_port("a port without it", does_in, EMPTY);
}
