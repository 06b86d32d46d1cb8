/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel for the native personality that only measures: its selectors, and what cpu.S offers to bench.c. */
#ifndef NATIVE_H
#define NATIVE_H

#define KERNEL_CS   0x10
#define KERNEL_DS   0x18
#define USER_CS     0x23
#define USER_DS     0x2B
#define TSS         0x30
#define SYSTEM_CALL 0x80

#ifndef __ASSEMBLER__
#include "switcher/layouts/types.h"
extern const u32 trap_entries[32];
extern u32 tss[26];
void load_tables(const void *gdt, const void *idt);
void system_call_entry(void);
u32 to_program(void);
u32 to_kernel(void);
void native_main(void);
void native_trapped(u32 vector, const u32 *frame) __attribute__((noreturn));
#endif
#endif
