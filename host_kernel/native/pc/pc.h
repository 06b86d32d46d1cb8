/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PC's devices of the native personality.  Read next: ports.c. */
#ifndef HOST_KERNEL_NATIVE_PC_PC_H
#define HOST_KERNEL_NATIVE_PC_PC_H
#include <stdbool.h>
#include "switcher/layouts/machine.h"

/* ports.c; sizes in bytes */
u32 port_in(u16 port, u32 size);
void port_out(u16 port, u32 value, u32 size);

/* irq.c */
#define IRQ_CLOCK 0
void irq_line(u32 irq, bool high);
bool irq_acknowledge(u32 *vector);
void irq_message(u32 address, u32 data);

/* pic.c */
#define PIC_LINES 16
void pic_line(u32 irq, bool high);
bool pic_pending(void);
u32 pic_acknowledge(u32 *vector);
u8 pic_in(u16 port);
void pic_out(u16 port, u8 value);
void pic_init(void);

/* local_apic.c */
extern u32 local_apic_vector;      /* of its interrupt that the CPU takes next; 0: none */
extern bool local_apic_passes_pic; /* the CPU takes those of the 8259s, too */
void local_apic_init(void);
bool local_apic_present(void);
u32 local_apic_base(void);
bool local_apic_set_base(u32 low, u32 high);
u32 local_apic_read(u32 number);
u32 local_apic_write(u32 number, u32 value);
bool local_apic_message(u32 destination, bool logical, u32 mode, u32 vector, bool level);
bool local_apic_acknowledge(u32 *vector);

static inline bool irq_pending(void)
{
	return local_apic_vector || (local_apic_passes_pic && pic_pending());
}

/* io_apic.c */
void io_apic_init(void);
void io_apic_line(u32 pin, bool high);
void io_apic_end(u32 vector);
u32 io_apic_vector(u32 pin);
u32 io_apic_read(u32 at);
void io_apic_write(u32 at, u32 value);

/* apic_pages.c */
u32 apic_pages_read(u32 physical, u32 size);
void apic_pages_write(u32 physical, u32 size, u32 value);

/* timers.c */
#define TIMER_PIT  0u
#define TIMER_APIC 1u
#define TIMERS     2u
void timer_init(u32 number, void (*expired)(void));
void timer_set(u32 number, u64 due, bool one_shot);
void timers_expired(void);
void guest_idle(void);
bool guest_is_idle(void);
void guest_not_idle(void);

/* pit.c */
void pit_init(void);
u8 pit_in(u16 port);
void pit_out(u16 port, u8 value);
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
