/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PC's devices of the native personality.  Read next: ports.c. */
#ifndef HOST_KERNEL_NATIVE_PC_PC_H
#define HOST_KERNEL_NATIVE_PC_PC_H
#include <stdbool.h>
#include "switcher/layouts/types.h"

/* ports.c; sizes in bytes */
u32 port_in(u16 port, u32 size);
void port_out(u16 port, u32 value, u32 size);

/* pic.c */
#define IRQ_CLOCK 0
#define PIC_LINES 16
void pic_line(u32 irq, bool high);
bool pic_pending(void);
u32 pic_acknowledge(u32 *vector);
u8 pic_in(u16 port);
void pic_out(u16 port, u8 value);
void pic_init(void);

/* pit.c */
void pit_init(void);
u8 pit_in(u16 port);
void pit_out(u16 port, u8 value);
void pit_expired(void);
void pit_idle(void);
bool pit_is_idle(void);
void pit_not_idle(void);
u8 speaker_in(void);
void speaker_out(u8 value);

/* cmos.c */
u8 cmos_in(u16 port);
void cmos_out(u16 port, u8 value);

/* uart.c, serial_line.c */
u8 uart_in(u16 port);
void uart_out(u16 port, u8 value);
void line_check(void);
bool line_pauses(void);

#endif
