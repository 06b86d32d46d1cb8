/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions without a C equivalent, and the CPU's constants.  Source: Intel SDM vol. 2 and 3. */
#ifndef HOST_KERNEL_BASE_CPU_H
#define HOST_KERNEL_BASE_CPU_H
#include <stdbool.h>
#include "switcher/layouts/lguest_pages.h"

#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR0_NE 0x20
#define CR0_WP 0x10000
#define CR0_PG 0x80000000
#define CR4_PSE 0x10
#define CR4_PAE 0x20
#define CR4_OSFXSR 0x200
#define CR4_OSXMMEXCPT 0x400
#define CR4_UMIP 0x800

#define MSR_EFER 0xC0000080
#define EFER_NXE 0x800
#define CPUID_FEATURES 1u
#define CPUID_MORE_FEATURES 7u
#define CPUID_PAE      0x40u /* edx */
#define CPUID_EXTENDED 0x80000000u /* eax: the last leaf of this kind */
#define CPUID_EXTENDED_FEATURES 0x80000001u
#define CPUID_NX       0x100000u /* edx */
#define CPUID_WIDTHS   0x80000008u /* al: the width of physical addresses */

#define LONGEST_INSTRUCTION 15u /* bytes */

#define DR6_DETECTED 0x2000u  /* cause: an access to a debug register */
#define DR6_STEP  0x4000u     /* cause: TF */
#define DR6_BREAKPOINTS 0xFu  /* causes: the four */
#define DR6_RESET 0xFFFF0FF0u /* no cause */
#define DR7_RESET 0x400u      /* no breakpoint */

/* Exceptions.  Source: Intel SDM vol. 3, 6.15. */
#define TRAP_DEBUG        1
#define TRAP_NMI          2
#define TRAP_BREAKPOINT   3
#define TRAP_OVERFLOW     4
#define TRAP_UNDEFINED    6
#define TRAP_DOUBLE_FAULT 8
#define TRAP_NOT_PRESENT  11
#define TRAP_STACK        12
#define TRAP_GENERAL      13
#define TRAP_PAGE_FAULT   14
#define EXCEPTIONS        32 /* vectors below are exceptions */

#define EFLAGS_FIXED 0x2
#define EFLAGS_TF 0x100
#define EFLAGS_IF 0x200
#define EFLAGS_IOPL 0x3000
#define EFLAGS_NT 0x4000
#define EFLAGS_RF 0x10000
#define EFLAGS_VM 0x20000
#define EFLAGS_VIF 0x80000
#define EFLAGS_VIP 0x100000

/* Does the CPU push an error code for this exception?  It does not for an int of the same number. */
static inline bool pushes_error(u32 vector)
{
	return vector < 32 && (ERROR_CODE_VECTORS >> vector & 1u);
}

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline u64 rdtsc(void)
{
	u64 value;
	__asm__ volatile("rdtsc" : "=A"(value));
	return value;
}

static inline u32 read_cr0(void)
{
	u32 value;
	__asm__ volatile("movl %%cr0, %0" : "=r"(value));
	return value;
}

static inline void write_cr0(u32 value)
{
	__asm__ volatile("movl %0, %%cr0" : : "r"(value) : "memory");
}

static inline u32 read_cr2(void)
{
	u32 value;
	__asm__ volatile("movl %%cr2, %0" : "=r"(value));
	return value;
}

/* The cause of a debug exception.  The CPU only sets bits in DR6, so clear it. */
static inline u32 read_and_clear_dr6(void)
{
	u32 value;
	__asm__ volatile("movl %%dr6, %0" : "=r"(value));
	__asm__ volatile("movl %0, %%dr6" : : "r"(DR6_RESET));
	return value;
}

static inline void write_dr6(u32 value)
{
	__asm__ volatile("movl %0, %%dr6" : : "r"(value));
}

static inline void write_dr7(u32 value)
{
	__asm__ volatile("movl %0, %%dr7" : : "r"(value) : "memory");
}

static inline u32 read_dr7(void)
{
	u32 value;
	__asm__ volatile("movl %%dr7, %0" : "=r"(value));
	return value;
}

static inline void write_dr0_to_3(const u32 values[4])
{
	__asm__ volatile("movl %0, %%dr0; movl %1, %%dr1; movl %2, %%dr2; movl %3, %%dr3"
			 : : "r"(values[0]), "r"(values[1]), "r"(values[2]), "r"(values[3]));
}

static inline u32 read_cr3(void)
{
	u32 value;
	__asm__ volatile("movl %%cr3, %0" : "=r"(value));
	return value;
}

static inline void write_cr3(u32 value)
{
	__asm__ volatile("movl %0, %%cr3" : : "r"(value) : "memory");
}

static inline void write_cr4(u32 value)
{
	__asm__ volatile("movl %0, %%cr4" : : "r"(value) : "memory");
}

static inline u32 read_cr4(void)
{
	u32 value;
	__asm__ volatile("movl %%cr4, %0" : "=r"(value));
	return value;
}

static inline void load_gdt(const struct table_register *table)
{
	__asm__ volatile("lgdt %0" : : "m"(table->limit), "m"(table->base));
}

static inline void write_efer(u32 value)
{
	__asm__ volatile("wrmsr" : : "c"(MSR_EFER), "a"(value), "d"(0) : "memory");
}

/* eax, ebx, ecx and edx of a CPUID leaf (its subleaf 0); all 0 where there is no such leaf. */
static inline void cpuid(u32 leaf, u32 words[4])
{
	u32 a = leaf & CPUID_EXTENDED, b, c = 0, d;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	words[0] = words[1] = words[2] = words[3] = 0;
	if (a < leaf)
		return;
	words[0] = leaf;
	words[2] = 0;
	__asm__ volatile("cpuid" : "+a"(words[0]), "=b"(words[1]), "+c"(words[2]), "=d"(words[3]));
}

static inline bool cpu_has_pae(void)
{
	u32 words[4];
	cpuid(CPUID_FEATURES, words);
	return words[3] & CPUID_PAE;
}

static inline bool cpu_has_nx(void)
{
	u32 words[4];
	cpuid(CPUID_EXTENDED_FEATURES, words);
	return words[3] & CPUID_NX;
}

/* The width of physical addresses.  A CPU with PAE that does not say has 36. */
static inline u32 cpu_physical_bits(void)
{
	u32 words[4], bits;
	cpuid(CPUID_WIDTHS, words);
	bits = words[0] & 0xFF;
	return bits < 32 || bits > 52 ? 36 : bits;
}

/* CPUID leaf 7, subleaf 0: ecx; 0 where there is no such leaf. */
static inline u32 cpuid_7_ecx(void)
{
	u32 words[4];
	cpuid(CPUID_MORE_FEATURES, words);
	return words[2];
}

static inline void invlpg(u32 address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Exchange with a full barrier: the Launcher may write the same word at the same time. */
static inline u32 exchange(volatile u32 *word, u32 value)
{
	__asm__ volatile("xchgl %0, %1" : "+r"(value), "+m"(*word) : : "memory");
	return value;
}

/* A single read of a word that the Guest or the Launcher may change at any time. */
static inline u32 read_once(const volatile u32 *word)
{
	return *word;
}

/*
 * 64 by 32 bits, without libgcc.  remainder may be NULL.
 */
static inline u64 divide(u64 value, u32 by, u32 *remainder)
{
	u32 high = value >> 32, low = value, rest = high % by, quotient;
	high /= by;
	__asm__("divl %4" : "=a"(quotient), "=d"(rest) : "0"(low), "1"(rest), "rm"(by));
	if (remainder)
		*remainder = rest;
	return ((u64)high << 32) | quotient;
}

/* value * by / over with a 96-bit product; the result saturates. */
static inline u64 scale(u64 value, u32 by, u32 over)
{
	u64 low = (value & 0xFFFFFFFF) * by, high = (value >> 32) * by + (low >> 32);
	u32 rest;
	u64 quotient = divide(high, over, &rest);

	if (quotient >> 32)
		return ~0ULL;
	return (quotient << 32) | divide(((u64)rest << 32) | (u32)low, over, NULL);
}

#endif
