/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel that measures the native personality: its selectors, and the routines of cpu.S. */
#ifndef NATIVE_CPU_H
#define NATIVE_CPU_H

#define KERNEL_CS   0x10
#define KERNEL_DS   0x18
#define USER_CS     0x23
#define USER_DS     0x2B
#define TSS         0x30
#define SYSTEM_CALL 0x80
#define EXCEPTIONS  32
#define TSS_BYTES   104 /* without an I/O bitmap */

#ifndef __ASSEMBLER__
#include "switcher/layouts/types.h"
extern const u32 trap_entries[EXCEPTIONS];
extern u32 tss[TSS_BYTES / 4];
void load_tables(const void *gdt, const void *idt);
void system_call_entry(void);
u32 iret_to_program(void); /* both return ticks */
u32 iret_to_kernel(void);
#endif
#endif
