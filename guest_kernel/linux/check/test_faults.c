/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A signal for each kind of fault, with the number, error code and address that the kernel tells of it.
 * Source of the error codes: Intel SDM vol. 3, 6.13 and 6.15.  Read before: probe.h.
 */
#include "guest_kernel/linux/check/probe.h"

#define GDT_ERROR(selector) ((selector) & 0xFFFCu)
#define GATE_ERROR(vector)  ((vector) * 8 + 2u)
#define FAULT_W 2u
#define FAULT_P 1u
#define FAULT_U 4u
#define SWITCHER 0xFFC00000u /* our own pages, which no program may read */

PROBED(does_hlt, "hlt")
PROBED(does_cli, "cli")
PROBED(does_sti, "sti")
PROBED(does_in, "inb $0x60, %%al")
PROBED(does_in_dx, "movl %%eax, %%edx; movl $101f, probe_at; 101: inl %%dx, %%eax")
PROBED(does_out, "outb %%al, $0x80")
PROBED(does_insb, "movl $probe_at, %%edi; movl $0x60, %%edx; movl $101f, probe_at; 101: insb")
PROBED(does_rdmsr, "rdmsr")
PROBED(does_wrmsr, "wrmsr")
PROBED(does_rdpmc, "rdpmc")
PROBED(does_lgdt, "lgdt (%%esp)")
PROBED(does_lidt, "lidt (%%esp)")
PROBED(does_lldt, "lldt %%ax")
PROBED(does_ltr, "ltr %%ax")
PROBED(does_lmsw, "lmsw %%ax")
PROBED(does_clts, "clts")
PROBED(does_invd, "invd")
PROBED(does_wbinvd, "wbinvd")
PROBED(does_invlpg, "invlpg (%%esp)")
PROBED(reads_cr0, "movl %%cr0, %%ecx")
PROBED(reads_cr2, "movl %%cr2, %%ecx")
PROBED(reads_cr3, "movl %%cr3, %%ecx")
PROBED(reads_cr4, "movl %%cr4, %%ecx")
PROBED(writes_cr0, "movl %%eax, %%cr0")
PROBED(writes_cr3, "movl %%eax, %%cr3")
PROBED(reads_dr7, "movl %%dr7, %%ecx")
PROBED(writes_dr7, "movl %%eax, %%dr7")

#define PRIVILEGED(name, code, argument) { name, code, argument, SIGSEGV, SI_KERNEL, 13, 0, 0 }

CHECK(privileged, "faults-privileged")
{
	static const struct wanted_fault rows[] = {
		PRIVILEGED("hlt", does_hlt, 0), PRIVILEGED("cli", does_cli, 0), PRIVILEGED("sti", does_sti, 0),
		PRIVILEGED("in", does_in, 0), PRIVILEGED("in by dx", does_in_dx, 0x3FD), PRIVILEGED("out", does_out, 0),
		PRIVILEGED("out 0x604", does_in_dx, 0x604), PRIVILEGED("ins", does_insb, 0),
		PRIVILEGED("rdmsr", does_rdmsr, 0), PRIVILEGED("wrmsr", does_wrmsr, 0), PRIVILEGED("rdpmc", does_rdpmc, 0),
		PRIVILEGED("lgdt", does_lgdt, 0), PRIVILEGED("lidt", does_lidt, 0), PRIVILEGED("lldt", does_lldt, 0),
		PRIVILEGED("ltr", does_ltr, 0x80), PRIVILEGED("lmsw", does_lmsw, 1), PRIVILEGED("clts", does_clts, 0),
		PRIVILEGED("invd", does_invd, 0), PRIVILEGED("wbinvd", does_wbinvd, 0),
		PRIVILEGED("invlpg", does_invlpg, 0), PRIVILEGED("mov from cr0", reads_cr0, 0),
		PRIVILEGED("mov from cr2", reads_cr2, 0), PRIVILEGED("mov from cr3", reads_cr3, 0),
		PRIVILEGED("mov from cr4", reads_cr4, 0), PRIVILEGED("mov to cr0", writes_cr0, 0x80050033),
		PRIVILEGED("mov to cr3", writes_cr3, 0), PRIVILEGED("mov from dr7", reads_dr7, 0),
		PRIVILEGED("mov to dr7", writes_dr7, 0x400),
	};

	CHECK_FAULTS(rows);
}

PROBED(loads_ds, "movl %%eax, %%ds")
PROBED(loads_es, "movl %%eax, %%es")
PROBED(loads_fs, "movl %%eax, %%fs")
PROBED(loads_gs, "movl %%eax, %%gs")
PROBED(loads_ss, "movl %%eax, %%ss")
PROBED(jumps_far, "pushl %%eax; pushl $102f; movl $101f, probe_at; 101: lret; 102: ud2")
PROBED(jumps_far_null, "pushl $0; pushl $102f; movl $101f, probe_at; 101: lret; 102: ud2")

#define BAD_SELECTOR(name, code, selector) { name, code, selector, SIGSEGV, SI_KERNEL, 13, GDT_ERROR(selector), 0 }

CHECK(selectors, "faults-selectors")
{
	static const struct wanted_fault rows[] = {
		BAD_SELECTOR("kernel data to ds", loads_ds, 0x68), BAD_SELECTOR("kernel data, RPL 3", loads_ds, 0x6B),
		BAD_SELECTOR("kernel code to ds", loads_ds, 0x63), BAD_SELECTOR("an empty entry to es", loads_es, 0x53),
		BAD_SELECTOR("an empty entry, RPL 1", loads_es, 0x59), BAD_SELECTOR("the TSS to fs", loads_fs, 0x83),
		BAD_SELECTOR("the LDT's own entry to gs", loads_gs, 0x8B), BAD_SELECTOR("beyond the GDT", loads_ds, 0x103),
		BAD_SELECTOR("far beyond it", loads_gs, 0xFFFB), BAD_SELECTOR("no LDT", loads_ds, 7),
		BAD_SELECTOR("no LDT, far", loads_fs, 0xFFFF), BAD_SELECTOR("null to ss", loads_ss, 3),
		BAD_SELECTOR("kernel data to ss", loads_ss, 0x68), BAD_SELECTOR("kernel data to ss, RPL 1", loads_ss, 0x69),
		BAD_SELECTOR("user data to ss, RPL 0", loads_ss, 0x78), BAD_SELECTOR("code to ss", loads_ss, 0x73),
		BAD_SELECTOR("kernel code to cs", jumps_far, 0x60), BAD_SELECTOR("kernel code to cs, RPL 1", jumps_far, 0x61),
		BAD_SELECTOR("kernel code to cs, RPL 3", jumps_far, 0x63), BAD_SELECTOR("data to cs", jumps_far, 0x7B),
		BAD_SELECTOR("an empty entry to cs", jumps_far, 0x53), BAD_SELECTOR("null to cs", jumps_far_null, 0),
	};

	CHECK_FAULTS(rows);
}

PROBED(int_0, "int $0")
PROBED(int_1, "int $1")
PROBED(int_2, "int $2")
PROBED(int_8, "int $8")
PROBED(int_13, "int $13")
PROBED(int_14, "int $14")
PROBED(int_31, "int $31")
PROBED(int_48, "int $48")
PROBED(int_128_less_1, "int $127")
PROBED(int_129, "int $129")
PROBED(int_240, "int $240")
PROBED(int_241, "int $241")
PROBED(int_255, "int $255")
PROBED(int_3, "int3")
PROBED(int_3_long, ".byte 0xCD, 3")
PROBED(int_4, "int $4")
PROBED(does_into, "movb $0x7F, %%al; incb %%al; movl $101f, probe_at; 101: into")
PROBED(does_bound, "pushl $2; pushl $1; movl $101f, probe_at; 101: bound %%eax, (%%esp)")
PROBED(does_ud2, "ud2")
PROBED(divides, "xorl %%edx, %%edx; xorl %%ecx, %%ecx; movl $101f, probe_at; 101: divl %%ecx")
PROBED(overflows, "movl $0x80000000, %%eax; cltd; movl $-1, %%ecx; movl $101f, probe_at; 101: idivl %%ecx")

#define NOT_FOR_PROGRAMS(name, code, vector) { name, code, 0, SIGSEGV, SI_KERNEL, 13, GATE_ERROR(vector), 0 }

CHECK(vectors, "faults-vectors")
{
	static const struct wanted_fault rows[] = {
		NOT_FOR_PROGRAMS("int 0", int_0, 0), NOT_FOR_PROGRAMS("int 1", int_1, 1), NOT_FOR_PROGRAMS("int 2", int_2, 2),
		NOT_FOR_PROGRAMS("int 8", int_8, 8), NOT_FOR_PROGRAMS("int 13", int_13, 13),
		NOT_FOR_PROGRAMS("int 14", int_14, 14), NOT_FOR_PROGRAMS("int 31", int_31, 31),
		NOT_FOR_PROGRAMS("int 48", int_48, 48), NOT_FOR_PROGRAMS("int 127", int_128_less_1, 127),
		NOT_FOR_PROGRAMS("int 129", int_129, 129), NOT_FOR_PROGRAMS("int 240", int_240, 240),
		NOT_FOR_PROGRAMS("int 241", int_241, 241), NOT_FOR_PROGRAMS("int 255", int_255, 255),
		{ "int3", int_3, 0, SIGTRAP, SI_KERNEL, 3, 0, 1 },
		{ "int 3", int_3_long, 0, SIGTRAP, SI_KERNEL, 3, 0, 2 },
		{ "int 4", int_4, 0, SIGSEGV, SI_KERNEL, 4, 0, 2 },
		{ "into", does_into, 0, SIGSEGV, SI_KERNEL, 4, 0, 1 },
		{ "bound", does_bound, 3, SIGSEGV, SI_KERNEL, 5, 0, 0 },
		{ "ud2", does_ud2, 0, SIGILL, ILL_ILLOPN, 6, 0, 0 },
		{ "div by zero", divides, 0, SIGFPE, FPE_INTDIV, 0, 0, 0 },
		{ "idiv that overflows", overflows, 0, SIGFPE, FPE_INTDIV, 0, 0, 0 },
	};
	struct fault got;

	CHECK_FAULTS(rows);
	got = fault_of(does_ud2, 0);
	SAME("the address that SIGILL tells", probe_at, got.address);
	got = fault_of(divides, 0);
	SAME("the address that SIGFPE tells", probe_at, got.address);
}

static void page_fault(const char *what, struct fault got, s32 code, u32 error, const void *address)
{
	SAME(what, SIGSEGV, got.signal);
	SAME(what, code, got.code);
	SAME(what, 14, got.trap);
	SAME(what, error, got.error);
	SAME(what, (u32)address, got.address);
	SAME(what, 0, got.distance);
}

PROBED(executes, "movl %%eax, probe_at; jmp *%%eax")

CHECK(page_faults, "faults-pages")
{
	static const u32 kernels[] = { 0xC0000000, 0xC1000000, 0xFF000000, SWITCHER, SWITCHER + PAGE, SWITCHER + 2 * PAGE,
				       0xFFFFFFFC };
	char *page = pages(3);

	HOLDS(!map_failed(page));
	SAME("munmap()", 0, munmap(page + PAGE, PAGE));
	page_fault("read of null", fault_reading((void *)0x10), SEGV_MAPERR, FAULT_U, (void *)0x10);
	page_fault("read of no mapping", fault_reading(page + PAGE), SEGV_MAPERR, FAULT_U, page + PAGE);
	page_fault("write to no mapping", fault_writing(page + PAGE + 4), SEGV_MAPERR, FAULT_U | FAULT_W, page + PAGE + 4);
	page_fault("execution of no mapping", fault_of(executes, (u32)page + PAGE), SEGV_MAPERR, FAULT_U, page + PAGE);
	page_fault("a read across the end", fault_reading(page + PAGE - 2), SEGV_MAPERR, FAULT_U, page + PAGE);
	page[0] = 1;
	SAME("mprotect(PROT_READ)", 0, mprotect(page, PAGE, PROT_READ));
	page_fault("write to a read-only page", fault_writing(page), SEGV_ACCERR, FAULT_U | FAULT_W | FAULT_P, page);
	page_fault("write to text", fault_writing((void *)page_fault), SEGV_ACCERR, FAULT_U | FAULT_W | FAULT_P,
		   (void *)page_fault);
	SAME("mprotect(PROT_NONE)", 0, mprotect(page, PAGE, PROT_NONE));
	page_fault("read of PROT_NONE", fault_reading(page), SEGV_ACCERR, FAULT_U, page);
	SAME("mprotect()", 0, mprotect(page, PAGE, PROT_READ | PROT_WRITE));
	SAME("what stood there", 1, page[0]);
	for (u32 index = 0; index < sizeof(kernels) / sizeof(*kernels); index++) {
		void *address = (void *)kernels[index];

		page_fault("read of the kernel's half", fault_reading(address), SEGV_MAPERR, FAULT_U | FAULT_P, address);
		page_fault("write to the kernel's half", fault_writing(address), SEGV_MAPERR, FAULT_U | FAULT_W | FAULT_P,
			   address);
		SAME("a system call that is given it", -EFAULT, pipe(address));
	}
}

PROBED(sets_tf, "pushfl; orl $0x100, (%%esp); popfl; movl %%eax, %%eax; ud2")
PROBED(misaligned, "pushfl; orl $0x40000, (%%esp); popfl; movl $101f, probe_at; 101: movl 1(%%esp), %%ecx; "
		   "pushfl; andl $~0x40000, (%%esp); popfl")
PROBED(misaligned_sse, "movl %%esp, %%ecx; orl $1, %%ecx; movl $101f, probe_at; 101: movaps %%xmm0, -64(%%ecx)")

CHECK(traps, "faults-traps")
{
	struct fault got = fault_of(sets_tf, 0);

	SAME("the signal of TF", SIGTRAP, got.signal);
	SAME("its code", TRAP_TRACE, got.code);
	SAME("its trap", 1, got.trap);
	got = fault_of(misaligned, 0);
	if (got.signal) {
		SAME("the signal of a misaligned access under AC", SIGBUS, got.signal);
		SAME("its code", BUS_ADRALN, got.code);
		SAME("its trap", 17, got.trap);
		SAME("where", 0, got.distance);
	} else {
		check_note("alignment is not checked under AC");
	}
	got = fault_of(misaligned_sse, 0);
	if (got.signal) {
		SAME("the signal of a misaligned movaps", SIGSEGV, got.signal);
		SAME("its trap", 13, got.trap);
		SAME("where", 0, got.distance);
	} else {
		check_note("movaps does not check its alignment");
	}
}

static void __attribute__((noinline)) recurses(u32 depth)
{
	volatile u8 frame[2000];

	memset((void *)frame, (int)depth, sizeof(frame));
	if (frame[depth % sizeof(frame)] == (u8)depth)
		recurses(depth + 1);
	frame[0]++; /* no tail call */
}

CHECK(stack, "faults-stack")
{
	u8 here;
	volatile u8 *below = (u8 *)((u32)&here - 1024 * 1024);
	u32 depth;
	struct fault got;

	*below = 7;
	SAME("a stack that grows by itself", 7, *below);
	got = fault_of(recurses, 0);
	depth = (u32)&here - got.address;
	SAME("the signal of a stack that is full", SIGSEGV, got.signal);
	SAME("its trap", 14, got.trap);
	HOLDS(depth > 4 << 20 && depth < 16 << 20);
	HOLDS(got.address - got.esp + PAGE < 2 * PAGE);
}
