/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Host kernel's own map: what each file offers to the others.
 * Reading order: start.S, main.c, tables.c, run.c, traps.c, page_tables.c, shadow.c, hypercalls.c.
 */
#ifndef HOST_H
#define HOST_H
#include <stdarg.h>
#include <stdbool.h>
#include "host_kernel/base/cpu.h"
#include "host_kernel/lguest/lguest_abi.h"
#include "switcher/lguest_pages.h"
#include "host_kernel/machine/machine.h"

#define PAGE_BYTES 4096u
/*
 * What a world switch touches lies close together (host_kernel.ld): behind a load of CR3 each page is looked up anew.
 * ALWAYS: code on the way of every hypercall; OFTEN: of faults and page tables; HOT: data.
 */
#define ALWAYS __attribute__((section(".text.always")))
#define OFTEN __attribute__((section(".text.often")))
#define HOT __attribute__((section(".bss.hot")))

#define LINEAR_MAP 0xFFFFFFFFu /* guest.directory until the Guest has page tables */

/*
 * What the Guest expects of its machine.  The core (run loop, shadow paging, clock) is one; a personality tells
 * when interrupts are due, what a trap means and where time goes.
 */
struct personality {
	void (*init)(void);          /* the CPU's tables for the Guest, and its first registers */
	void (*interrupts)(void);    /* deliver what the Guest would take now; wakes it if it sleeps */
	bool (*must_retry)(void);    /* an interrupt waits that the Guest will not ask for */
	void (*asleep)(void);        /* it sleeps: end it if nothing can wake it */
	void (*clock_expired)(void); /* guest.clock_deadline is over */
	void (*device_irq)(u32 irq); /* a device of the Launcher's raised it */
	void (*before_entry)(void);  /* the last look at guest.regs */
	void (*trap)(void);          /* it came out: guest.regs tells why */
};

extern const struct personality lguest_personality, native_personality;
extern struct personality personality; /* the one chosen: a copy, which can be HOT */

/* The one Guest.  Addresses in it are the Guest's (physical or virtual), never the Host's. */
struct guest {
	struct registers *regs;
	u32 directory;   /* physical; LINEAR_MAP at first */
	u32 cr2;         /* of the last page fault taken */
	u32 dr6;         /* as it would read the debug status register */
	bool halted;     /* asleep until an interrupt can be delivered */
	bool ts;         /* CR0.TS while it runs */
	u32 pending;     /* bit n: virtual interrupt n was raised and not delivered */
	u64 idt[IDT_ENTRIES]; /* as it loaded them */
	u64 clock_deadline;   /* TSC at which its clock is due; 0: never; clock_set_deadline() sets it */
	u32 limit;            /* end of what it may map: RAM and device pages */
	bool strict;          /* a page-table entry that a paravirtualised kernel must not make kills */
	bool large_pages;     /* CR4.PSE: directory entries may map 4 MiB */
	bool write_protect;   /* CR0.WP: read-only holds in ring 1 too */

	/* The lguest personality's own. */
	struct lguest_data *data; /* NULL before LGUEST_INIT */
	u32 kernel_address;       /* above it all directories agree */
	u32 noirq_start, noirq_end;
	u32 ring_cursor;          /* next entry of the asynchronous ring */
	u32 data_seen;            /* where the lean Switcher has lguest_data; 0: nowhere */
};

extern struct guest guest;
extern struct machine machine;            /* a copy: the original lies in memory nobody needs to keep */

static inline bool is_lean(void)
{
	return machine.switcher == SWITCHER_LEAN;
}

extern struct mailbox *const mailbox;
static struct lguest_state *const state = (struct lguest_state *)SWITCHER_STATE_PAGE; /* writable, for us */
static struct untrusted *const untrusted = (struct untrusted *)SWITCHER_STACK_PAGE;

/* switcher.S, lean.S: one world switch, and the ways back in; of the Switcher that machine.switcher names. */
u32 switch_to_guest(void);
u32 switch_to_guest_lean(void);
extern const u32 classic_entries[IDT_ENTRIES], lean_entries[IDT_ENTRIES];
extern u32 (*world_switch)(void);
extern const u32 *switcher_entries;

/* print.c: %s %c %d %u %x with width and 0; returns the length. */
int format(char *out, u32 size, const char *text, ...) __attribute__((format(printf, 3, 4)));
int format_list(char *out, u32 size, const char *text, va_list values);
void debug(const char *text, ...) __attribute__((format(printf, 1, 2)));
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

/* end.c: the three ways in which it is over; none returns. */
void end_guest(u32 kind, const char *message) __attribute__((noreturn));
void kill_guest(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));
void host_failed(const char *why, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* tables.c */
void tables_init(void);
u64 gate_to(u32 handler, u32 dpl);

/* apic.c */
void apic_init(void);
void apic_measure_tsc(void);
void apic_timer(u32 nanoseconds);
void host_interrupt(u32 vector);

/* clock.c */
void clock_init(void);
void clock_set_event(u64 nanoseconds);
void clock_set_deadline(u64 tsc);
void clock_check(void);
void clock_disarm(void);
void clock_arm(bool retry);
void clock_wall(u32 *seconds, u32 *nanoseconds);
void clock_timer_fired(void);

/* memory.c: Guest memory by physical and by virtual address. */
void *guest_physical(u32 address, u32 count, const char *what);

static inline bool guest_range(u32 address, u32 count)
{
	return address < guest.limit && count <= guest.limit - address;
}

/* Does a page-table entry's frame lie in what the Guest may map? */
static inline bool guest_frame_valid(u32 entry)
{
	return (entry & ~(PAGE_BYTES - 1)) < guest.limit;
}

void guest_write(u32 address, const void *from, u32 count);
bool guest_try_read(void *to, u32 address, u32 count);
bool guest_try_write(u32 address, const void *from, u32 count);

/* page_tables.c: the Guest's tables, read by its rules. */
#define PTE_P  0x001
#define PTE_RW 0x002
#define PTE_US 0x004
#define PTE_A  0x020
#define PTE_D  0x040
#define PTE_PS 0x080
#define PTE_G  0x100
#define FAULT_P  1 /* error code bits of a page fault */
#define FAULT_W  2
#define FAULT_US 4
bool walk(u32 address, u32 access, u32 *entry, u32 *directory_entry, u32 *error);
bool demand_page(u32 address, u32 access, u32 *error);
void page_tables_init(void);
void set_directory(u32 directory);
void load_directory(u32 directory);
void flush_address(u32 address);
void set_entry(u32 directory, u32 address, u32 value);
void set_directory_entry(u32 directory, u32 index);
void flush_user(void);
void flush_all(void);
void pin_stack(u32 top, u32 pages);
void map_for_guest(u32 address, const void *pages, u32 bytes);
u32 map_data(u32 address);

/* shadow.c */
#define WATCHED_FRAMES 20
u32 pool_init(u32 first_free);
void nothing_restore(void);
void watch_frames(const u32 *frames, u32 count);
bool is_watched(u32 frame);
void shadow_allow_write(u32 address, bool allow);

/* segments.c */
void segments_init(void);
void load_gdt_entry(u32 entry, u32 low, u32 high);
void load_tls(const u32 descriptors[6]);
void set_stack(u32 selector, u32 pointer, u32 pages);

/* gates.c */
void gates_init(void);
void load_idt_entry(u32 entry, u32 low, u32 high);
void gates_reflect(void);

/* deliver.c */
bool has_handler(u32 vector);
bool pushes_error(u32 vector);
void deliver(u32 vector, u32 error);

/* interrupts.c */
void raise_irq(u32 irq);
u32 interrupts_flag(void);
void interrupts_disable(void);
void interrupts_deliver(void);
void interrupts_can_wake(void);

/* hypercalls.c */
void do_hypercalls(void);

void halt_guest(void);

/* traps.c */
void handle_trap(void);
void switcher_faulted(const struct registers *at) __attribute__((noreturn));

/* emulate.c */
bool emulate(void);

/* run.c */
void run(void) __attribute__((noreturn));

/* start.S */
void wait_for_interrupt(void);
void load_ldt_register(u32 selector);

/* mailbox.c */
void mailbox_init(void);
void mailbox_doorbell(void);
void mailbox_notify(u32 address);
void mailbox_text(const u8 *text, u32 count);
void mailbox_flush(void);
void mailbox_irqs(void);
void mailbox_rung(void);
void mailbox_record_switch(void);

#endif
